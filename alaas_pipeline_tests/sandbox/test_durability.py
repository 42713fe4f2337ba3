import json
import os
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from alaas_pipeline.sandbox import SandboxError, Settings, run
from alaas_pipeline.sandbox.state import State
from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox_process import SandboxProcess

IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2)}


@pytest.fixture
def sandbox() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


def test_nothing_acknowledged_is_lost_when_it_is_killed(sandbox: SandboxProcess, tmp_path: Path) -> None:
    sandbox.start(tmp_path / "s", truth="subfolder", pace=0, creating_reads=2, export_reads=1)
    with Api(sandbox.base_url) as api:
        me = api.get("/users/me/").json()

        def killed() -> None:
            sandbox.kill()
            sandbox.restart()

        slot = api.presign("kill", "cats/a.png", IMAGES["cats/a.png"])
        killed()
        api.storage.put(slot["url"], content=IMAGES["cats/a.png"], headers=slot["headers"]).raise_for_status()
        killed()
        api.complete(slot["upload_uid"]).raise_for_status()
        dataset = api.finalise("kill").raise_for_status().json()["uid"]
        killed()
        read = [api.get(f"/datasets/{dataset}/").json()["status"]]
        killed()
        read += [api.get(f"/datasets/{dataset}/").json()["status"] for _ in range(2)]
        assert read == ["creating", "creating", "created"]
        uid = api.clone(dataset, "kill").raise_for_status().json()["uid"]
        killed()
        assert api.status(uid) == "pending-approval"
        api.act(uid, "approve").raise_for_status()
        killed()
        assert api.status(uid) == "completed"
        before = api.tasks(uid)
        export = api.export({"project": uid})
        first = api.storage.get(export["download_url"]).content
        killed()
        assert api.get("/users/me/").json() == me
        assert api.tasks(uid) == before
        assert api.storage.get(export["download_url"]).content == first
        item = api.get("/datasets/sandbox-team/kill/items/").json()["results"][0]
        assert api.storage.get(item["url"]).content == IMAGES["cats/a.png"]
    effects = sandbox.effects()
    assert [row["n"] for row in effects] == list(range(1, len(effects) + 1))
    assert [row["kind"] for row in effects] == [
        "presign",
        "upload",
        "complete",
        "finalise",
        "clone",
        "approve",
        "export",
    ]


def test_a_kill_amid_uploads_keeps_what_was_answered(sandbox: SandboxProcess, tmp_path: Path) -> None:
    sandbox.start(tmp_path / "s")
    stored: list[str] = []
    enough = threading.Event()

    def send() -> None:
        with Api(sandbox.base_url) as api:
            for number in range(1000):
                try:
                    api.upload("storm", {f"{number}.png": picture(number)})
                except httpx.HTTPError:
                    return
                stored.append(f"{number}.png")
                if number >= 15:
                    enough.set()

    sender = threading.Thread(target=send)
    sender.start()
    assert enough.wait(60)
    sandbox.kill()
    sender.join(20)
    sandbox.restart()
    with Api(sandbox.base_url) as api:
        api.dataset("storm", {})
        pages = api.pages("/datasets/sandbox-team/storm/items/")
        there = {item["key"] for page in pages for item in page["results"]}
    assert set(stored) <= there
    # One more may have been stored without its answer.
    assert len(there) <= len(stored) + 1


def test_effects_are_accepted_changes_only(sandbox: SandboxProcess, tmp_path: Path) -> None:
    sandbox.start(tmp_path / "s", truth="subfolder", creating_reads=0, pace=3600)
    with Api(sandbox.base_url) as api:
        uid = api.project("effects", IMAGES)
        api.act(uid, "pause")
        api.clone(None, "nothing")
        api.finalise("effects")
        api.get("/projects/")
        api.act(uid, "approve")
        api.act(uid, "approve")
        for action in ("pause", "resume", "cancel", "cancel", "archive"):
            api.act(uid, action)
        api.post("/exports/", json={"project": uid})
    rows = sandbox.effects()
    kinds = [row["kind"] for row in rows]
    assert kinds == ["presign", "upload", "complete"] * 2 + [
        "finalise",
        "clone",
        "approve",
        "pause",
        "resume",
        "cancel",
        "archive",
        "export",
    ]
    approve = sandbox.effects("approve")
    assert len(approve) == 1
    assert (
        approve[0].items()
        >= {
            "n": 9,
            "method": "POST",
            "path": f"/api/v1/projects/{uid}/approve/",
            "uid": uid,
            "name": "effects",
            "status": 200,
        }.items()
    )
    assert [(row["name"], row["status"]) for row in rows if row["kind"] in ("finalise", "clone")] == [
        ("effects", 201),
        ("effects", 201),
    ]


def test_the_endpoint_file_comes_and_goes(sandbox: SandboxProcess, tmp_path: Path) -> None:
    state = tmp_path / "s"
    base_url = sandbox.start(state)
    endpoint = state / "endpoint.json"
    assert json.loads(endpoint.read_text()) == {"base_url": base_url, "pid": sandbox.pid}
    assert httpx.get(f"{base_url}/users/me/").status_code == 401
    assert sandbox.stop() == 0
    assert not endpoint.exists()
    sandbox.restart()
    assert sandbox.base_url == base_url
    os.kill(sandbox.pid, signal.SIGINT)
    assert sandbox.stop() == 0
    assert not endpoint.exists()


def test_a_second_server_on_the_same_state_is_refused(sandbox: SandboxProcess, tmp_path: Path) -> None:
    state = tmp_path / "s"
    base_url = sandbox.start(state)
    with pytest.raises(SandboxError, match=f"already runs on .*{base_url}, process {sandbox.pid}"):
        run(Settings(state=state))
    assert json.loads((state / "endpoint.json").read_text())["pid"] == sandbox.pid
    second = SandboxProcess()
    with pytest.raises(RuntimeError, match="error: A sandbox already runs"):
        second.start(state)
    assert httpx.get(sandbox.admin_url("health")).status_code == 200
    # The lock dies with its process, however that ends.
    sandbox.kill()
    assert (state / "endpoint.json").exists()
    sandbox.restart()


def test_a_taken_port_is_refused(sandbox: SandboxProcess, tmp_path: Path) -> None:
    port = int(sandbox.start(tmp_path / "s").split(":")[2].split("/")[0])
    with pytest.raises(SandboxError, match=f"port {port}.*Choose another port"):
        run(Settings(state=tmp_path / "other", port=port))


def test_one_line_is_printed_for_programs_and_the_page_is_told_to_people(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "alaas_pipeline.sandbox", "--state", str(tmp_path / "s")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        line = process.stdout.readline().decode()
        base_url = line.removeprefix("ready ").strip()
        assert httpx.get(f"{base_url}/users/me/").status_code == 401
        process.terminate()
        rest, errors = process.communicate(timeout=20)
    page = base_url.removesuffix("/api/v1") + "/_sandbox/"
    assert (rest, errors.decode(), process.returncode) == (b"", f"page {page}\n", 0)


def test_a_new_key_replaces_the_old_one(sandbox: SandboxProcess, tmp_path: Path) -> None:
    sandbox.start(tmp_path / "s")
    with Api(sandbox.base_url) as api:
        uid = api.get("/users/me/").json()["uid"]
    sandbox.restart(api_key="avk_new")
    with Api(sandbox.base_url) as api:
        assert api.get("/users/me/").status_code == 401
        assert api.without_key("avk_new").get("/users/me/").json()["uid"] == uid


def test_no_key_is_kept_in_the_state(sandbox: SandboxProcess, tmp_path: Path) -> None:
    sandbox.start(tmp_path / "s", api_key="avk_canary_1")
    sandbox.add_key("avk_canary_2", username="second")
    with Api(sandbox.base_url, "avk_canary_1") as api:
        signature = api.presign("d", "a.png", b"1")["url"].split("Signature=")[1]
    sandbox.stop()
    for path in tmp_path.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert b"canary" not in data
            assert signature.encode() not in data


def test_a_state_of_another_version_is_refused(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "sandbox.sqlite") as con:
        con.execute("PRAGMA user_version=99")
    con.close()
    with pytest.raises(SandboxError, match="another version"):
        State(Settings(state=tmp_path))


def test_half_received_files_are_swept_at_the_next_start(sandbox: SandboxProcess, tmp_path: Path) -> None:
    sandbox.start(tmp_path / "s")
    sandbox.kill()
    (tmp_path / "s/incoming/left").write_bytes(b"x")
    sandbox.restart()
    assert list((tmp_path / "s/incoming").iterdir()) == []


def test_importing_the_package_loads_no_web_framework() -> None:
    code = "import sys, alaas_pipeline.sandbox as s; s.Settings; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert not {"fastapi", "uvicorn", "PIL"} & set(loaded)


def test_the_sandbox_imports_nothing_of_the_project() -> None:
    code = "import sys, alaas_pipeline.sandbox.server; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    ours = {name for name in loaded if name.startswith("alaas_pipeline.")}
    assert {name for name in ours if not name.startswith("alaas_pipeline.sandbox")} == set()
