import os
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest

from alaas_pipeline import home
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import (
    Home,
    absolute_from_env,
    checkout,
    get_home,
    load_env,
    prepare_dagster_home,
    shipped_file,
)

ROOT = Path(home.__file__).parent.parent


@pytest.fixture(autouse=True)
def environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A working directory and an environment of the test's own; what `.env` sets goes away again."""
    monkeypatch.chdir(tmp_path)
    with mock.patch.dict(os.environ, {"PATH": os.environ["PATH"], "HOME": str(tmp_path)}, clear=True):
        yield


@pytest.fixture
def fake_checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "checkout"
    folder.mkdir()
    monkeypatch.setattr(home, "checkout", lambda: folder)
    return folder


def test_the_checkout_is_found() -> None:
    assert checkout() == ROOT


def test_an_installed_package_has_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(home, "__file__", str(tmp_path / "site-packages/alaas_pipeline/home.py"))
    assert checkout() is None
    assert get_home().root == tmp_path / ".alaas"
    assert shipped_file("dagster.yaml").parts[-3:] == ("alaas_pipeline", "shipped", "dagster.yaml")


def test_state_is_where_alaas_home_says(tmp_path: Path, fake_checkout: Path) -> None:
    assert get_home().root == fake_checkout / ".alaas"
    os.environ["ALAAS_HOME"] = str(tmp_path / "state of mine")
    assert get_home().root == tmp_path / "state of mine"
    assert not get_home().root.exists()
    os.environ["ALAAS_HOME"] = "~/state"
    assert get_home().root == tmp_path / "state"


def test_a_relative_folder_is_refused(tmp_path: Path) -> None:
    os.environ["ALAAS_HOME"] = "state"
    with pytest.raises(UserError) as caught:
        get_home()
    assert (
        str(caught.value)
        == f"ALAAS_HOME is the relative path 'state'. Give an absolute path, for example {tmp_path / 'state'}."
    )
    assert absolute_from_env("ALAAS_NOT_SET") is None


def test_everything_stands_under_one_folder(tmp_path: Path) -> None:
    places = Home(tmp_path)
    names = ("ledger", "files", "models", "sandbox", "demo", "locks", "dagster")
    paths = [getattr(places, name) for name in names]
    assert len(set(paths)) == len(names)
    assert {path.parent for path in paths} == {tmp_path}
    assert places.locks.is_dir()


def test_the_env_file_is_read_and_the_environment_wins(fake_checkout: Path) -> None:
    (fake_checkout / ".env").write_text("AVALA_API_KEY=avk_from_file\nALAAS_SANDBOX_KEY='avk with space'\n")
    os.environ["AVALA_API_KEY"] = "avk_from_environment"
    load_env()
    assert os.environ["AVALA_API_KEY"] == "avk_from_environment"
    assert os.environ["ALAAS_SANDBOX_KEY"] == "avk with space"


def test_the_env_file_can_say_where_state_is(tmp_path: Path, fake_checkout: Path) -> None:
    (fake_checkout / ".env").write_text(f"ALAAS_HOME={tmp_path / 'by file'}\n")
    assert get_home().root == tmp_path / "by file"


def test_without_a_checkout_the_env_file_of_the_working_directory_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(home, "checkout", lambda: None)
    (tmp_path / ".env").write_text("ALAAS_SANDBOX_KEY=avk_here\n")
    load_env()
    assert os.environ["ALAAS_SANDBOX_KEY"] == "avk_here"


def test_dagster_runs_under_the_file_at_the_top_of_the_checkout(tmp_path: Path) -> None:
    places = Home(tmp_path / "state")
    made = prepare_dagster_home(places)
    assert made == places.dagster == Path(os.environ["DAGSTER_HOME"])
    assert (made / "dagster.yaml").read_bytes() == (ROOT / "dagster.yaml").read_bytes()


def test_an_old_copy_is_renewed(tmp_path: Path) -> None:
    places = Home(tmp_path)
    places.dagster.mkdir()
    (places.dagster / "dagster.yaml").write_text("telemetry: {enabled: true}\n")
    prepare_dagster_home(places)
    assert (places.dagster / "dagster.yaml").read_bytes() == shipped_file("dagster.yaml").read_bytes()


def test_a_given_dagster_home_is_left_alone(tmp_path: Path) -> None:
    given = tmp_path / "instance"
    given.mkdir()
    (given / "dagster.yaml").write_text("# mine\n")
    os.environ["DAGSTER_HOME"] = str(given)
    assert prepare_dagster_home(Home(tmp_path / "state")) == given
    assert [path.name for path in given.iterdir()] == ["dagster.yaml"]
    assert (given / "dagster.yaml").read_text() == "# mine\n"
    assert not (tmp_path / "state").exists()
    os.environ["DAGSTER_HOME"] = "instance"
    with pytest.raises(UserError, match="DAGSTER_HOME is the relative path"):
        prepare_dagster_home(Home(tmp_path / "state"))
