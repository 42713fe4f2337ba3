"""The wheel: built without network, complete, and at work away from any checkout."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from alaas_pipeline import __version__
from alaas_pipeline.home import checkout

ROOT = checkout() or Path.cwd()


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(ROOT)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (made,) = folder.iterdir()
    return made


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("unpacked")
    zipfile.ZipFile(wheel).extractall(folder)
    return folder


def python(unpacked: Path, cwd: Path, *arguments: str) -> str:
    """Run Python with the wheel's package in place of the checkout's, and none of this process's settings."""
    ours = ("ALAAS_", "AVALA_", "DAGSTER_", "PYTHON")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env=environment | {"PYTHONPATH": str(unpacked)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    in_checkout = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "alaas_pipeline").rglob("*")
        if path.is_file() and path.suffix not in (".pyc", ".pyo")
    }
    shipped = {f"alaas_pipeline/shipped/{name}.yaml" for name in ("dagster", "workspace", "pools")}
    info = f"alaas_pipeline-{__version__}.dist-info"
    about = {f"{info}/{name}" for name in ("METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE")}
    assert names == in_checkout | shipped | about
    for needed in ("py.typed", "ledger/schema/0001_first.sql", "report/report.css"):
        kind = Path(needed).suffix
        assert any(name.startswith("alaas_pipeline/") and name.endswith(kind) for name in names), needed


def test_the_shipped_files_are_those_of_the_checkout(unpacked: Path) -> None:
    for name in ("dagster.yaml", "workspace.yaml", "pools.yaml"):
        assert (unpacked / "alaas_pipeline/shipped" / name).read_bytes() == (ROOT / name).read_bytes()


def test_away_from_a_checkout_state_is_in_the_working_directory(unpacked: Path, tmp_path: Path) -> None:
    code = """
import alaas_pipeline, pathlib
from alaas_pipeline.home import checkout, get_home, prepare_dagster_home, shipped_file
print(pathlib.Path(alaas_pipeline.__file__).parent.parent)
print(checkout())
print(get_home().root)
print(shipped_file('pools.yaml').is_file(), shipped_file('workspace.yaml').is_file())
print((prepare_dagster_home(get_home()) / 'dagster.yaml').read_bytes() == shipped_file('dagster.yaml').read_bytes())
"""
    said = python(unpacked, tmp_path, "-c", code).splitlines()
    assert said == [str(unpacked), "None", str(tmp_path / ".alaas"), "True True", "True"]


def test_the_command_works_from_the_wheel(unpacked: Path, tmp_path: Path) -> None:
    assert python(unpacked, tmp_path, "-m", "alaas_pipeline.cli", "--version") == f"{__version__}\n"
    assert python(unpacked, tmp_path, "-m", "alaas_pipeline.cli", "status").startswith("No pool has been used yet.")
    # The ledger was made from the schema files of the wheel.
    assert (tmp_path / ".alaas/ledger.duckdb").is_file()


def test_the_demo_of_an_installed_package_declares_its_pool(unpacked: Path, tmp_path: Path) -> None:
    code = """
from alaas_pipeline.demo.run import POOL, _demo_pool
from alaas_pipeline.home import get_home
print(_demo_pool(get_home()).source)
"""
    assert python(unpacked, tmp_path, "-c", code) == f"{tmp_path / '.alaas/demo/solar_cells'}\n"
    assert (tmp_path / ".alaas/pools.yaml").read_bytes() == (ROOT / "pools.yaml").read_bytes()
