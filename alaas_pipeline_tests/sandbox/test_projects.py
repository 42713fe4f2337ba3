import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve, serving
from alaas_pipeline_tests.sandbox_process import LIDAR_TEMPLATE_UID, TEMPLATE_UID

IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2)}


@pytest.fixture(scope="module")
def still(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server whose annotators know nothing, so that projects stay as they are."""
    with serving(tmp_path_factory.mktemp("still"), creating_reads=0) as running:
        yield running


def test_clone_waits_for_approval(still: Api) -> None:
    dataset = still.dataset("clone", IMAGES)
    answer = still.clone(dataset["uid"], "  clone 1 ")
    assert answer.status_code == 201
    assert (
        answer.json().items()
        >= {
            "name": "clone 1",
            "status": "pending-approval",
            "is_active": False,
            "task_type": "image-annotation",
            "owner_name": "sandbox-team",
            "visibility": "private",
            "is_imported": False,
        }.items()
    )
    assert uuid.UUID(answer.json()["uid"]).version == 4
    assert still.tasks(answer.json()["uid"]) == []
    assert still.get(f"/datasets/{dataset['uid']}/").json()["project_count"] == 1


def test_a_taken_project_name_is_a_field_error(still: Api) -> None:
    dataset = still.dataset("names", {})
    assert still.clone(dataset["uid"], "names").status_code == 201
    again = still.clone(dataset["uid"], "names")
    assert again.status_code == 400
    assert again.json() == {"name": ["Project with this name already exists for this owner."]}


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "This field may not be blank."),
        ("   ", "This field may not be blank."),
        ("n" * 101, "Ensure this field has no more than 100 characters."),
    ],
)
def test_project_names_have_1_to_100_characters(still: Api, name: str, message: str) -> None:
    answer = still.clone(str(uuid.uuid4()), name)
    assert (answer.status_code, answer.json()) == (400, {"name": [message]})


def test_clone_checks_what_it_is_given(still: Api) -> None:
    images = still.dataset("checked", IMAGES)["uid"]
    lidar = still.finalise("clouds", data_type="lidar").json()["uid"]
    nowhere = str(uuid.uuid4())
    theirs = still.as_key("avk_theirs", username="theirs").finalise("theirs").json()["uid"]

    def fields(dataset: str | None, **more: Any) -> set[str]:
        answer = still.clone(dataset, "never", **more)
        assert answer.status_code == 400
        return set(answer.json())

    assert still.clone(images, "never", source_project_uid=nowhere).status_code == 404
    assert fields(nowhere) == {"image_dataset_uid"}
    assert fields(theirs) == {"image_dataset_uid"}
    assert fields(lidar) == {"image_dataset_uid"}
    assert fields(None) == {"image_dataset_uid"}
    assert fields(None, lidar_dataset_uid=lidar) == {"lidar_dataset_uid"}
    assert fields(images, slice_uid=nowhere) == {"slice_uid"}
    assert fields(images, source_project_uid=LIDAR_TEMPLATE_UID) == {"image_dataset_uid"}
    assert fields(images, source_project_uid="770a9600-a40d-74g7-c938-668877660000") == {"source_project_uid"}
    made = still.clone(None, "clouds", source_project_uid=LIDAR_TEMPLATE_UID, lidar_dataset_uid=lidar)
    assert made.json()["task_type"] == "point-cloud-annotation"


def test_coworkers_cannot_clone(still: Api) -> None:
    answer = still.as_key("avk_coworker", username="worker", coworker=True).clone(str(uuid.uuid4()), "x")
    assert answer.status_code == 403
    assert answer.json() == {"detail": "You do not have permission to perform this action."}


def test_the_lists_of_projects(serve: Serve) -> None:
    api = serve(creating_reads=0)
    dataset = api.dataset("lists", {})["uid"]
    for name in ("b round", "a round"):
        api.clone(dataset, name).raise_for_status()

    def names(path: str, **params: str) -> list[str]:
        return [project["name"] for project in api.get(path, params=params).raise_for_status().json()["results"]]

    mine = "/users/me/projects/"
    assert names(mine)[:2] == ["a round", "b round"]
    assert len(names(mine)) == 4
    assert names(mine) == names("/projects/sandbox-team/") == names("/projects/sandbox-team@sandbox.invalid/")
    assert names(mine, name="ROUND", ordering="-name") == ["b round", "a round"]
    assert names(mine, status="PENDING_APPROVAL", ordering="name") == ["a round", "b round"]
    assert names("/projects/sandbox-team/", status="active", name="Image") == ["Image classification template"]
    pages = api.pages(mine, limit=3)
    assert [len(page["results"]) for page in pages] == [3, 1]
    assert api.get(f"{mine}{TEMPLATE_UID}/").json()["status"] == "active"
    assert api.get(f"{mine}{uuid.uuid4()}/").status_code == 404


def test_who_sees_which_projects(still: Api) -> None:
    uid = still.project("seen", {})
    refused = still.get("/projects/")
    assert refused.status_code == 403
    assert refused.json() == {"detail": "You do not have permission to perform this action."}
    stranger = still.as_key("avk_stranger", username="stranger")
    assert stranger.get(f"/users/me/projects/{uid}/").status_code == 404
    assert stranger.get("/users/me/projects/").json()["results"] == []
    for owner in ("stranger", "sandbox-team", "nobody"):
        answer = stranger.get(f"/projects/{owner}/")
        assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})
    # Templates are everybody's: a stranger clones one onto data of their own.
    assert stranger.clone(stranger.finalise("own").json()["uid"], "own").status_code == 201
    staff = still.as_key("avk_staff", username="staff", staff=True)
    assert uid in {project["uid"] for project in staff.get("/projects/").json()["results"]}


def test_approval_makes_one_task_for_each_item(still: Api) -> None:
    uid = still.project("approved", IMAGES)
    answer = still.act(uid, "approve")
    assert answer.status_code == 200
    assert (answer.json()["status"], answer.json()["is_active"]) == ("active", True)
    assert {task["key"] for task in still.tasks(uid)} == set(IMAGES)
    again = still.act(uid, "approve")
    assert again.status_code == 400
    assert "pending-approval" in again.json()["detail"]
    assert len(still.tasks(uid)) == 2


def test_approval_needs_a_plan_and_a_scope(still: Api) -> None:
    uid = still.project("guarded", IMAGES)
    basic = still.as_key("avk_basic", plan="BASIC").act(uid, "approve")
    assert basic.status_code == 403
    assert basic.json() == {
        "detail": "Project approval requires a PRO or ENTERPRISE plan.",
        "code": "plan_insufficient",
        "doc_url": "https://docs.avala.ai/api/errors#plan_insufficient",
    }
    scoped = still.as_key("avk_reads", scopes=["projects.read"]).act(uid, "approve")
    assert scoped.status_code == 403
    assert scoped.json() == {
        "detail": "API key is missing the required scope: projects.write.",
        "code": "scope_required",
        "doc_url": "https://docs.avala.ai/api/errors#scope_required",
    }
    assert still.as_key("avk_not_mine", username="somebody").act(uid, "approve").status_code == 404
    assert still.status(uid) == "pending-approval"
    enterprise = still.as_key("avk_big", plan="ENTERPRISE", scopes=["projects.write"])
    assert enterprise.act(uid, "approve").status_code == 200


ALLOWED = {
    ("pause", "active"): "paused",
    ("resume", "paused"): "active",
    ("cancel", "active"): "canceled",
    ("cancel", "paused"): "canceled",
    ("archive", "completed"): "archived",
    ("archive", "canceled"): "archived",
}
PATHS = {
    "pending-approval": [],
    "active": ["approve"],
    "paused": ["approve", "pause"],
    "canceled": ["approve", "cancel"],
    "archived": ["approve", "cancel", "archive"],
    "completed": None,
}


@pytest.mark.parametrize("action", ["approve", "pause", "resume", "cancel", "archive"])
@pytest.mark.parametrize("status", list(PATHS))
def test_every_transition(still: Api, status: str, action: str) -> None:
    files = {"a.png": picture(1)} if status != "completed" else {}
    uid = still.project(f"{status} {action}".replace(" ", "-"), files)
    for step in PATHS[status] if PATHS[status] is not None else ["approve"]:
        still.act(uid, step).raise_for_status()
    assert still.status(uid) == status
    # These need no scope, unlike approval.
    answer = (still.as_key("avk_bare", scopes=[]) if action != "approve" else still).act(uid, action)
    target = "active" if (action, status) == ("approve", "pending-approval") else ALLOWED.get((action, status))
    assert answer.status_code == (400 if target is None else 200)
    if target is None:
        assert status in answer.json()["detail"]
    else:
        assert answer.json()["status"] == target
    assert still.status(uid) == ("completed" if (target, files) == ("active", {}) else target or status)


def test_actions_know_their_owner(still: Api) -> None:
    uid = still.project("owned", IMAGES)
    stranger = still.as_key("avk_no", username="no")
    for action in ("approve", "pause", "resume", "cancel", "archive", "exports"):
        assert stranger.act(uid, action).status_code == 404
    assert still.act(str(uuid.uuid4()), "pause").status_code == 404
    assert still.act(uid, "explode").status_code == 404


def test_metrics(api: Api) -> None:
    uid = api.project("metrics", IMAGES | {"c.png": picture(3)})
    url = f"/projects/{uid}/metrics/"
    assert api.get(url).json() == {"total_tasks": 0, "completed_tasks": 0, "acceptance_rate": 1.0}
    api.act(uid, "approve")
    assert api.get(url).json() == {"total_tasks": 3, "completed_tasks": 2, "acceptance_rate": 1.0}
    pending = next(task for task in api.tasks(uid) if task["status"] == "pending")
    api.admin(f"projects/{uid}/tasks/{pending['uid']}/answer", {"refusal_reason": "blurred"}).raise_for_status()
    assert api.get(url).json() == {"total_tasks": 3, "completed_tasks": 3, "acceptance_rate": 2 / 3}
    assert api.get(f"/projects/{uuid.uuid4()}/metrics/").status_code == 404


def test_settings_of_the_template(tmp_path: Path) -> None:
    template = str(uuid.uuid4())
    with serving(tmp_path, template_uid=template, labels=("b", "a"), creating_reads=0) as api:
        dataset = api.dataset("d", IMAGES)
        assert api.clone(dataset["uid"], "old").status_code == 404
        uid = api.clone(dataset["uid"], "new", source_project_uid=template).raise_for_status().json()["uid"]
        content = api.storage.get(api.export({"project": uid})["download_url"])
        assert content.headers["Content-Type"] == "application/zip"
