"""The command line, command by command."""

import json
import os

import httpx
import pytest
from typer.testing import CliRunner, Result

from alaas_pipeline import __version__
from alaas_pipeline.avala.connect import base_url_of
from alaas_pipeline.cli import app
from alaas_pipeline_tests.end_to_end.typed import TypedSandbox, environment, shell
from alaas_pipeline_tests.end_to_end.world import World, paint, pool_entry
from alaas_pipeline_tests.sandbox_process import NO_TLS

SECRET = "avk_real_0123456789abcdef"


@pytest.fixture
def pets(world: World) -> World:
    """A pool with photographs; nothing has been run."""
    paint(world.root / "photos", {"cats": 5, "dogs": 4})
    world.declare(pool_entry("Pets", str(world.root / "photos"), images_per_round=4, approval={"policy": "manual"}))
    return world


def command(*arguments: str) -> Result:
    """Type a command without DAGSTER_HOME, in this process; it must not end with a traceback."""
    os.environ.pop("DAGSTER_HOME", None)
    result = CliRunner().invoke(app, list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result


def refused(*arguments: str) -> str:
    """Type a command that must be refused; returns its one message."""
    result = command(*arguments)
    assert result.exit_code == 1
    assert result.stdout == ""
    (message,) = result.stderr.splitlines()
    return message.removeprefix("Error: ")


def test_the_version(pets: World) -> None:
    assert shell("alaas-pipeline --version", cwd=pets.root).stdout == f"{__version__}\n"
    assert not pets.home.root.exists()


def test_an_empty_status_says_how_to_begin(pets: World) -> None:
    assert command("status").stdout.startswith("No pool has been used yet. Materialize a pool's 'images'")
    assert json.loads(command("status", "--json").stdout) == {"pools": [], "lost_commits": []}


def test_status_of_a_pool_that_is_declared_and_of_one_that_is_not(pets: World) -> None:
    assert refused("status", "Pets").startswith("The ledger has no pool 'pets' yet. Materialize its 'images'")
    assert refused("status", "cats") == f"There is no pool 'cats' in {pets.root / 'pools.yaml'}. Its pools are: pets."


def test_the_life_of_a_round_typed(pets: World) -> None:
    assert refused("open-round", "pets").startswith("Pool 'pets' has no embeddings yet. Materialize its 'images'")
    assert refused("open-round", "cats").endswith("Its pools are: pets.")
    with pets.instance() as instance:
        assert pets.run(instance, "pets", "prepare_pool").success
        assert command("open-round", "Pets").stdout == "pets.r0001\n"
        assert instance.get_dynamic_partitions("rounds.pets") == ["pets.r0001"]
        assert refused("open-round", "pets").startswith("Round pets.r0001 is not finished (state: open).")
        assert refused("approve", "pets.r0001", "--quote", "x").startswith("Round pets.r0001 has no quote yet")
        assert refused("approve", "pets.r0009", "--quote", "x").startswith("There is no round 'pets.r0009'")
        pets.start_sandbox()
        assert pets.run(instance, "pets", "prepare_round", "pets.r0001").success
    quote = json.loads(command("status", "pets", "--json").stdout)["pools"][0]["rounds"][0]["quote"]["digest"]
    text = command("status").stdout
    assert "Pets (pets)\n  images   9 in all, 4 selected, 5 remaining" in text
    assert f"    alaas-pipeline approve pets.r0001 --quote {quote}\n" in text
    other = refused("approve", "pets.r0001", "--quote", "0123456789abcdef")
    assert f"which is {quote}: 4 images for at most 0.20 USD" in other
    accepted = command("approve", "pets.r0001", "--quote", quote, "--by", "Ada").stdout
    assert accepted.startswith("Accepted: 4 images of pets.r0001 for at most 0.20 USD.\n")
    assert "--select pets/avala_approval --partition pets.r0001" in accepted
    decided = pets.status("pets")["rounds"][0]["decision"]
    assert (decided["decision"], decided["by"], decided["quote"]) == ("accepted", "Ada", quote)
    assert decided["allowed_by"] == f"the quote {quote}, typed"
    assert pets.sandbox.effects("approve") == []
    assert command("refuse", "pets.r0001").stdout.startswith("Refused: pets.r0001. Nothing is billed.")
    assert pets.status("pets")["rounds"][0]["state"] == "refused"
    assert command("open-round", "pets").stdout == "pets.r0002\n"


def test_whoever_has_no_user_name_can_decide(pets: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def nameless() -> str:
        raise KeyError("getpwuid(): uid not found: 1234")

    monkeypatch.setattr("getpass.getuser", nameless)
    assert refused("approve", "pets.r0001", "--quote", "x").startswith("There is no round 'pets.r0001'")


def test_a_pool_that_pools_yaml_lost_stays_visible(pets: World) -> None:
    with pets.instance() as instance:
        assert pets.run(instance, "pets", "prepare_pool").success
    (pets.root / "pools.yaml").write_text("pools: [")
    assert "9 in all" in command("status", "pets").stdout
    assert refused("status", "cats").startswith(f"{pets.root / 'pools.yaml'} is not valid YAML")


def test_doctor_of_a_sound_installation(pets: World) -> None:
    url = pets.start_sandbox() or pets.sandbox.base_url
    result = command("doctor")
    assert result.exit_code == 0, result.stdout
    lines = result.stdout.splitlines()
    assert all(line.startswith("ok    ") for line in lines)
    looked_at = ["Python", "state folder", "ledger", "files", "encoder libraries", "pools.yaml", "pool pets"]
    assert [line[6:].split(":")[0] for line in lines] == looked_at
    assert f"sandbox at {url} answers as 'sandbox-team'; template " in lines[-1]


def test_doctor_names_each_mistake_and_no_key(pets: World, monkeypatch: pytest.MonkeyPatch) -> None:
    real = {"platform": "avala", "approval": {"policy": "manual"}}
    pets.declare(
        pool_entry("Pets", str(pets.root / "photos")),
        pool_entry("Real", str(pets.root / "photos"), **real),
    )
    result = command("doctor")
    assert result.exit_code == 1
    mend = [line for line in result.stdout.splitlines() if line.startswith("MEND  ")]
    assert [line[6:].split(":")[0] for line in mend] == ["pool pets", "pool real"]
    assert "no sandbox is running. Start one with 'alaas-pipeline sandbox'" in mend[0]
    assert "AVALA_API_KEY is not set" in mend[1]

    # A key that the server does not know, at an address where a server answers.
    pets.start_sandbox()
    monkeypatch.setenv("AVALA_API_KEY", SECRET)
    monkeypatch.setenv("AVALA_BASE_URL", pets.sandbox.base_url)
    monkeypatch.setenv("AVALA_ALLOW_INSECURE_BASE_URL", "1")
    unknown = command("doctor")
    assert unknown.exit_code == 1
    assert "MEND  pool real: " in unknown.stdout
    assert "ok    pool pets: " in unknown.stdout
    assert SECRET not in unknown.output


def test_doctor_of_a_broken_pools_file(pets: World) -> None:
    (pets.root / "pools.yaml").write_text("pools:\n- name: Pets\n  sauce: photos\n")
    result = command("doctor")
    assert result.exit_code == 1
    assert f"MEND  pools.yaml: {pets.root / 'pools.yaml'}: pool 'Pets': field " in result.stdout
    assert "'sauce': is not known. Did you mean 'source'?" in result.stdout


def test_doctor_of_a_damaged_ledger_and_of_no_folder(pets: World, monkeypatch: pytest.MonkeyPatch) -> None:
    pets.home.root.mkdir()
    pets.home.ledger.write_text("scribble")
    told = f"The ledger {pets.home.ledger} cannot be opened: "
    assert f"MEND  ledger: {told}" in command("doctor").stdout
    assert refused("status").startswith(told)
    monkeypatch.setenv("ALAAS_HOME", str(pets.root / "pools.yaml"))
    assert f"MEND  state folder: {pets.root / 'pools.yaml'} is a file. Set ALAAS_HOME" in command("doctor").stdout
    assert refused("status") == f"{pets.root / 'pools.yaml'}: File exists."
    monkeypatch.setenv("ALAAS_HOME", "here")
    result = command("doctor")
    assert (result.exit_code, result.stdout.count("MEND")) == (1, 1)
    assert "MEND  state folder: ALAAS_HOME is the relative path 'here'." in result.stdout


def answers(base_url: str, key: str) -> int:
    return httpx.get(f"{base_url}/users/me/", headers={"X-Avala-Api-Key": key}, verify=NO_TLS).status_code


def test_the_sandbox_says_one_line_and_ends_cleanly(pets: World) -> None:
    with TypedSandbox(cwd=pets.root) as sandbox:
        assert sandbox.first_line.startswith("ready http://127.0.0.1:")
        assert sandbox.first_line.endswith("/api/v1\n")
        assert answers(sandbox.base_url, "avk_sandbox") == 200
        assert answers(sandbox.base_url, "avk_other") == 401
        assert base_url_of(pets.pool("pets"), pets.home) == sandbox.base_url
        again = shell("alaas-pipeline sandbox", cwd=pets.root, check=False)
        assert (again.returncode, again.stdout) == (1, "")
        assert again.stderr.startswith(f"Error: A sandbox already runs on {pets.home.sandbox} ({sandbox.base_url}, ")
        assert len(again.stderr.splitlines()) == 1
        assert base_url_of(pets.pool("pets"), pets.home) == sandbox.base_url
        sandbox.stop()
        assert (sandbox.status, sandbox.rest) == (0, "")
    assert not (pets.home.sandbox / "endpoint.json").exists()


def test_a_sandbox_with_its_own_key_and_folder_is_found(pets: World) -> None:
    state = pets.root / "elsewhere" / "Ü box"
    with TypedSandbox("--key", "avk_mine", "--state", str(state), cwd=pets.root) as sandbox:
        assert base_url_of(pets.pool("pets"), pets.home) == sandbox.base_url
        assert (answers(sandbox.base_url, "avk_mine"), answers(sandbox.base_url, "avk_sandbox")) == (200, 401)
        # What cannot start does not hide what runs.
        bad = shell("alaas-pipeline sandbox --truth nowhere.csv --state other", cwd=pets.root, check=False)
        assert bad.returncode == 1
        assert len(bad.stderr.splitlines()) == 1
        bad = shell("alaas-pipeline sandbox --key 'a b' --state other", cwd=pets.root, check=False)
        assert bad.stderr.startswith("Error: api_key must be plain text")
        assert base_url_of(pets.pool("pets"), pets.home) == sandbox.base_url
    assert (state / "sandbox.lock").exists()
    assert not pets.home.sandbox.exists()


def test_a_key_of_the_sandbox_may_come_from_the_environment(pets: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALAAS_SANDBOX_KEY", "avk_shared")
    assert environment()["ALAAS_SANDBOX_KEY"] == "avk_shared"
    with TypedSandbox(cwd=pets.root) as sandbox:
        assert answers(sandbox.base_url, "avk_shared") == 200
        result = command("doctor")
        assert result.exit_code == 0, result.stdout
        assert "avk_shared" not in result.output
