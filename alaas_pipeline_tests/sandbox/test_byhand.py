import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox_process import TEMPLATE_UID, SandboxProcess

IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2)}


@pytest.fixture(scope="module")
def sandbox(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        process.start(
            tmp_path_factory.mktemp("byhand") / "s", creating_reads=0, export_reads=1, truth="subfolder", pace=3600
        )
        yield process


@pytest.fixture
def api(sandbox: SandboxProcess) -> Iterator[Api]:
    with Api(sandbox.base_url) as client:
        yield client


@pytest.fixture
def name(request: pytest.FixtureRequest) -> str:
    """A name that no other test takes."""
    return f"n{hashlib.sha256(request.node.name.encode()).hexdigest()[:12]}"


def last(sandbox: SandboxProcess) -> tuple[str, str, dict[str, Any]]:
    row = sandbox.effects()[-1]
    return row["kind"], row["uid"], row["details"]


def test_a_deleted_dataset_is_gone_and_its_files_stay(sandbox: SandboxProcess, api: Api, name: str) -> None:
    uid = api.dataset(name, IMAGES)["uid"]
    project = api.clone(uid, name).json()["uid"]
    export = api.post("/exports/", json={"project": project}).json()["uid"]
    sandbox.delete("dataset", uid)
    assert last(sandbox) == ("by_hand:delete_dataset", uid, {"items": 2})
    assert api.get(f"/datasets/{uid}/").status_code == 404
    assert api.get(f"/datasets/sandbox-team/{name}/").status_code == 404
    assert api.get("/datasets/", params={"name": name}).json()["results"] == []
    assert api.clone(uid, f"{name}-2").status_code == 400
    assert api.act(project, "approve").json() == {"detail": "The dataset of this project does not exist any more."}
    assert [api.get(f"/exports/{export}/").json()["status"] for _ in range(2)] == ["processing", "failed"]
    # Nothing deletes a key of the storage: the next dataset of the name holds the same files.
    assert api.finalise(name).status_code == 201
    assert api.get(f"/datasets/sandbox-team/{name}/").json()["item_count"] == 2


def test_a_deleted_project_is_gone_with_its_tasks(sandbox: SandboxProcess, api: Api, name: str) -> None:
    uid = api.project(name, IMAGES)
    api.act(uid, "approve").raise_for_status()
    export = api.post("/exports/", json={"project": uid}).json()["uid"]
    dataset = api.get(f"/datasets/sandbox-team/{name}/").json()
    whole = api.post("/exports/", json={"dataset": dataset["uid"]}).json()["uid"]
    sandbox.delete("project", uid)
    assert last(sandbox) == ("by_hand:delete_project", uid, {"tasks": 2, "dataset_uid": dataset["uid"]})
    assert api.get(f"/users/me/projects/{uid}/").status_code == 404
    assert api.act(uid, "approve").status_code == 404
    assert api.get("/tasks/", params={"project": uid}).json()["results"] == []
    assert [api.get(f"/exports/{export}/").json()["status"] for _ in range(2)] == ["processing", "failed"]
    assert [api.get(f"/exports/{whole}/").json()["status"] for _ in range(2)] == ["processing", "exported"]
    assert api.clone(dataset["uid"], name).status_code == 201


def test_a_deleted_export_is_gone_with_its_file(sandbox: SandboxProcess, api: Api, name: str) -> None:
    dataset = api.dataset(name, IMAGES)["uid"]
    export = api.export({"dataset": dataset})
    sandbox.delete("export", export["uid"])
    assert last(sandbox) == ("by_hand:delete_export", export["uid"], {"project_uid": None})
    assert api.get(f"/exports/{export['uid']}/").status_code == 404
    assert api.storage.get(export["download_url"]).status_code == 404


@pytest.mark.parametrize("path", ["datasets/x", "projects/x", "exports/x"])
def test_what_does_not_exist_cannot_be_deleted(sandbox: SandboxProcess, path: str) -> None:
    before = len(sandbox.effects())
    assert httpx.delete(sandbox.admin_url(path)).status_code == 404
    assert len(sandbox.effects()) == before


def test_a_person_approves_with_tasks(sandbox: SandboxProcess, api: Api, name: str) -> None:
    uid = api.project(name, IMAGES)
    dataset = api.get(f"/datasets/sandbox-team/{name}/").json()["uid"]
    assert sandbox.set_status(uid, "active")["status"] == "active"
    assert last(sandbox) == (
        "by_hand:approve",
        uid,
        {"before": "pending-approval", "tasks": 2, "dataset_uid": dataset},
    )
    assert len(api.tasks(uid)) == 2
    assert api.act(uid, "approve").status_code == 400
    assert [row for row in sandbox.effects("approve") if row["uid"] == uid] == []


def test_a_person_moves_a_project_about(sandbox: SandboxProcess, api: Api, name: str) -> None:
    uid = api.project(name, IMAGES)
    api.act(uid, "approve").raise_for_status()
    start = len(sandbox.effects())
    for status in ("paused", "active", "canceled", "archived", "completed"):
        sandbox.set_status(uid, status)
        assert api.status(uid) == status
    kinds = [(row["kind"], row["details"]["before"]) for row in sandbox.effects()[start:]]
    assert kinds == [
        ("by_hand:pause", "active"),
        ("by_hand:resume", "paused"),
        ("by_hand:cancel", "active"),
        ("by_hand:archive", "canceled"),
        ("by_hand:complete", "archived"),
    ]
    assert len(api.tasks(uid)) == 2
    again = httpx.post(sandbox.admin_url(f"projects/{uid}/status"), json={"status": "completed"})
    assert (again.status_code, again.json()) == (400, {"detail": "The project is completed already."})
    wrong = httpx.post(sandbox.admin_url(f"projects/{uid}/status"), json={"status": "pending-approval"})
    assert (wrong.status_code, list(wrong.json())) == (400, ["status"])


def test_a_template_is_never_approved(sandbox: SandboxProcess, api: Api) -> None:
    sandbox.set_status(TEMPLATE_UID, "paused")
    sandbox.set_status(TEMPLATE_UID, "active")
    assert last(sandbox)[0] == "by_hand:resume"
    assert api.tasks(TEMPLATE_UID) == []


def test_a_foreign_project_takes_its_name(sandbox: SandboxProcess, api: Api, name: str) -> None:
    dataset = api.dataset(name, IMAGES)["uid"]
    made = sandbox.foreign_project(name, dataset_uid=dataset)
    assert (made["owner_name"], made["status"]) == ("sandbox-team", "pending-approval")
    assert last(sandbox) == (
        "by_hand:create_project",
        made["uid"],
        {"owner": "sandbox-team", "dataset_uid": dataset},
    )
    assert api.clone(dataset, name).status_code == 400
    assert api.act(made["uid"], "approve").status_code == 200
    assert len(api.tasks(made["uid"])) == 2
    body = {"name": name}
    assert list(httpx.post(sandbox.admin_url("projects"), json=body).json()) == ["name"]
    body = {"name": "x", "dataset_uid": TEMPLATE_UID}
    assert list(httpx.post(sandbox.admin_url("projects"), json=body).json()) == ["dataset_uid"]


def test_somebody_elses_project_is_nobodys_business(sandbox: SandboxProcess, api: Api, name: str) -> None:
    made = sandbox.foreign_project(name, owner="rival")
    assert made["owner_name"] == "rival"
    assert api.get(f"/users/me/projects/{made['uid']}/").status_code == 404
    assert api.clone(api.dataset(name, IMAGES)["uid"], name).status_code == 201
    sandbox.add_key("avk_rival", username="rival")
    assert api.without_key("avk_rival").get(f"/users/me/projects/{made['uid']}/").status_code == 200
    # An organization of the key's user: two projects of one name in one list.
    sandbox.foreign_project(name, owner="sandbox-team-org")
    assert len(api.get("/users/me/projects/", params={"name": name}).json()["results"]) == 2


def test_an_export_fails_by_hand(sandbox: SandboxProcess, api: Api, name: str) -> None:
    project = api.project(name, IMAGES)
    uid = api.post("/exports/", json={"project": project, "name": name}).json()["uid"]
    assert sandbox.fail_export(uid)["status"] == "failed"
    assert last(sandbox) == ("by_hand:fail_export", uid, {"project_uid": project})
    shown = api.get(f"/exports/{uid}/").json()
    assert (shown["status"], shown["download_url"]) == ("failed", None)
    done = api.export({"project": project})
    for ended in (uid, done["uid"]):
        assert httpx.post(sandbox.admin_url(f"exports/{ended}/fail")).status_code == 400


def test_the_first_exports_fail_and_hold_no_place(tmp_path: Path) -> None:
    with SandboxProcess() as sandbox:
        sandbox.start(tmp_path / "s", failing_exports=2, concurrent_exports=1, export_reads=0, creating_reads=0)
        with Api(sandbox.base_url) as api:
            dataset = api.dataset("d", IMAGES)["uid"]
            ends = []
            for number in range(4):
                uid = api.post("/exports/", json={"dataset": dataset}).raise_for_status().json()["uid"]
                ends.append(api.get(f"/exports/{uid}/").json()["status"])
                if number == 0:
                    sandbox.delete("export", uid)
                    sandbox.kill()
                    sandbox.restart()
    assert ends == ["failed", "failed", "exported", "exported"]


def test_the_log_tells_an_auditor_what_was_done(sandbox: SandboxProcess, api: Api, name: str) -> None:
    dataset = api.dataset(name, IMAGES | {"note.txt": b"no image"})["uid"]
    project = api.clone(dataset, name).json()["uid"]
    for action in ("approve", "pause"):
        api.act(project, action).raise_for_status()
    export = api.post("/exports/", json={"project": project, "name": name}).json()["uid"]
    mine = [row for row in sandbox.effects() if row["uid"] in (dataset, project, export)]
    assert [(row["kind"], row["name"], row["details"]) for row in mine] == [
        (
            "finalise",
            name,
            {
                "slug": name,
                "owner": "sandbox-team",
                "items": 2,
                "issues": 1,
                "files_sha256": hashlib.sha256(b"cats/a.png\ndogs/b.png\n").hexdigest(),
            },
        ),
        ("clone", name, {"owner": "sandbox-team", "source_project_uid": TEMPLATE_UID, "dataset_uid": dataset}),
        ("approve", name, {"tasks": 2, "dataset_uid": dataset}),
        ("pause", name, {"before": "active"}),
        ("export", name, {"project_uid": project, "dataset_uid": dataset}),
    ]
    files = [row for row in sandbox.effects("upload") if row["details"]["dataset_name"] == name]
    assert {row["name"]: row["details"]["sha256"] for row in files} == {
        path: hashlib.sha256(data).hexdigest() for path, data in (IMAGES | {"note.txt": b"no image"}).items()
    }
