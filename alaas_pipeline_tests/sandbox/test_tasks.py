import uuid

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve

IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2), "top.png": picture(3)}


def test_tasks_by_project_and_status(api: Api) -> None:
    uid = api.project("tasks", IMAGES)
    api.project("other tasks".replace(" ", "-"), IMAGES)
    assert api.get("/tasks/", params={"project": uid}).json()["results"] == []
    api.act(uid, "approve")

    def count(**params: str) -> int:
        return sum(len(page["results"]) for page in api.pages("/tasks/", limit=2, project=uid, **params))

    assert (count(), count(status="completed"), count(status="pending"), count(status="lost")) == (3, 2, 1, 0)
    task = api.get("/tasks/", params={"project": uid, "status": "completed"}).json()["results"][0]
    assert (
        task.items()
        >= {
            "type": "image-annotation",
            "name": "classification",
            "status": "completed",
            "project": uid,
            "result": "labelled",
        }.items()
    )
    assert api.get(f"/tasks/{task['uid']}/").json() == task
    assert api.get(f"/tasks/{uuid.uuid4()}/").status_code == 404


def test_tasks_are_not_below_projects(api: Api) -> None:
    uid = api.project("below", IMAGES)
    api.act(uid, "approve")
    answer = api.get(f"/projects/{uid}/tasks/")
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_tasks_need_their_scope_and_their_owner(api: Api) -> None:
    uid = api.project("private", IMAGES)
    api.act(uid, "approve")
    stranger = api.as_key("avk_stranger", username="stranger")
    assert stranger.get("/tasks/", params={"project": uid}).json()["results"] == []
    task = api.tasks(uid)[0]["uid"]
    assert stranger.get(f"/tasks/{task}/").status_code == 404
    scoped = api.as_key("avk_scoped", scopes=["projects.read"])
    assert [scoped.get(path).json()["code"] for path in ("/tasks/", f"/tasks/{task}/", "/work-batches/")] == [
        "scope_required"
    ] * 3


def test_work_batches(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0)
    uid = api.project("batch", IMAGES)
    assert api.get("/work-batches/").json()["results"] == []
    api.act(uid, "approve")
    batch = api.get("/work-batches/").json()["results"][0]
    assert (batch["project"], batch["status"]) == (uid, "active")
    assert (batch["total_work_units"], batch["completed_work_units"]) == (3, 2)
    assert api.get("/work-batches/").json()["results"][0]["uid"] == batch["uid"]


def test_answers_by_hand(api: Api) -> None:
    uid = api.project("by-hand", IMAGES | {"second.png": picture(4)})
    url = f"projects/{uid}/tasks"
    api.act(uid, "approve")
    first, second = [task for task in api.tasks(uid) if task["status"] == "pending"]
    done = next(task for task in api.tasks(uid) if task["status"] == "completed")

    def answer(task: str, **body: str | None) -> int:
        return api.admin(f"{url}/{task}/answer", body).status_code

    assert answer(first["uid"]) == 400
    assert answer(first["uid"], label="a", refusal_reason="b") == 400
    assert answer(first["uid"], label=" ") == 400
    assert answer(str(uuid.uuid4()), label="a") == 404
    assert answer(done["uid"], label="a") == 400
    api.act(uid, "pause")
    assert answer(first["uid"], label="a") == 400
    api.act(uid, "resume")
    assert answer(first["uid"], label=" Katze ") == 200
    assert api.status(uid) == "active"
    assert answer(second["uid"], refusal_reason="too dark") == 200
    assert api.status(uid) == "completed"
    found = {task["key"]: (task["label"], task["refusal_reason"], task["result"]) for task in api.tasks(uid)}
    assert found[first["key"]] == ("Katze", None, "labelled")
    assert found[second["key"]] == (None, "too dark", "refused")


def test_finish_needs_an_active_project(api: Api) -> None:
    uid = api.project("unfinished", IMAGES)
    assert api.admin(f"projects/{uid}/finish", {}).status_code == 400
    assert api.admin(f"projects/{uuid.uuid4()}/finish", {}).status_code == 404
    api.act(uid, "approve")
    finished = api.admin(f"projects/{uid}/finish", {}).raise_for_status().json()
    assert (finished["total_tasks"], finished["completed_tasks"], finished["pending_tasks"]) == (3, 2, 1)
    assert finished["status"] == "active"
