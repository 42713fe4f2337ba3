import time
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.sandbox import SandboxError, Settings
from alaas_pipeline_tests.sandbox.api import Api, Files, picture
from alaas_pipeline_tests.sandbox.conftest import Serve, serving
from alaas_pipeline_tests.sandbox_process import SandboxProcess


def many(count: int) -> Files:
    return {f"class {n % 3}/{n:03}.png": picture(n) for n in range(count)}


def done(api: Api, uid: str) -> int:
    return api.get(f"/projects/{uid}/metrics/").json()["completed_tasks"]


def approved(api: Api, name: str, files: Files) -> str:
    uid = api.project(name, files)
    api.act(uid, "approve").raise_for_status()
    return uid


def until(api: Api, uid: str, count: int) -> None:
    deadline = time.monotonic() + 20
    while done(api, uid) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_they_work_through_the_tasks_at_their_pace(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0.1)
    started = time.time()
    uid = approved(api, "pace", many(4))
    assert api.status(uid) == "active"
    until(api, uid, 4)
    assert time.time() - started >= 0.4
    assert api.status(uid) == "completed"
    # They go from the first task to the last.
    moments = [task["updated_at"] for task in api.tasks(uid)]
    assert moments == sorted(moments)
    assert len(set(moments)) == 4


def test_several_share_the_work(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, annotators=3)
    uid = approved(api, "shared", many(7))
    assert api.status(uid) == "completed"
    export = api.export({"project": uid})
    assert export["exported_task_count"] == 7
    slow = serve(truth="subfolder", pace=3600, annotators=3)
    uid = approved(slow, "slow", many(7))
    assert done(slow, uid) == 0


def test_a_pause_stops_the_clock_and_resume_starts_it(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0.2)
    uid = approved(api, "pause", many(20))
    until(api, uid, 1)
    api.act(uid, "pause").raise_for_status()
    before = done(api, uid)
    time.sleep(1.0)
    assert done(api, uid) == before
    api.act(uid, "resume").raise_for_status()
    # Five tasks' time of pause is not made up for.
    assert done(api, uid) <= before + 4
    until(api, uid, before + 1)
    api.act(uid, "cancel").raise_for_status()
    stopped = done(api, uid)
    time.sleep(0.3)
    assert done(api, uid) == stopped < 20


def test_a_paused_project_is_not_finished(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=3600)
    uid = approved(api, "paused", many(3))
    api.act(uid, "pause")
    assert api.admin(f"projects/{uid}/finish", {}).status_code == 400
    api.act(uid, "resume")
    finished = api.admin(f"projects/{uid}/finish", {}).json()
    assert (finished["status"], finished["completed_tasks"]) == ("completed", 3)


def answers(tmp_path: Path, count: int = 30, **settings: Any) -> dict[str, str | None]:
    with serving(tmp_path / "state", truth="subfolder", creating_reads=0, pace=0, **settings) as api:
        uid = approved(api, "answers", many(count))
        assert api.status(uid) == "completed"
        return {task["key"]: task["label"] or task["refusal_reason"] for task in api.tasks(uid)}


def test_with_full_accuracy_every_answer_is_true(tmp_path: Path) -> None:
    assert all(key.startswith(f"{label}/") for key, label in answers(tmp_path).items())


def test_mistakes_and_refusals_follow_from_the_seed(tmp_path: Path) -> None:
    first = answers(tmp_path / "a", accuracy=0.6, refusal_rate=0.2, seed=1)
    assert first == answers(tmp_path / "b", accuracy=0.6, refusal_rate=0.2, seed=1)
    assert first != answers(tmp_path / "c", accuracy=0.6, refusal_rate=0.2, seed=2)
    refused = sum(label == "image unusable" for label in first.values())
    wrong = sum(label != "image unusable" and not key.startswith(f"{label}/") for key, label in first.items())
    assert 1 <= refused <= 14
    assert 3 <= wrong <= 20


def test_everything_can_be_refused(tmp_path: Path) -> None:
    assert set(answers(tmp_path, count=5, refusal_rate=1.0).values()) == {"image unusable"}


def test_unknown_images_wait_and_do_not_hold_up_the_others(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0)
    files = {"0-top.png": picture(500)} | many(3)
    uid = approved(api, "waiting", files)
    assert api.status(uid) == "active"
    assert [task["key"] for task in api.tasks(uid) if task["status"] == "pending"] == ["0-top.png"]


def test_work_goes_on_while_the_server_is_down(tmp_path: Path) -> None:
    with serving(tmp_path, truth="subfolder", pace=0.05) as api:
        uid = approved(api, "night", many(5))
    time.sleep(0.25)
    with serving(tmp_path, truth="subfolder", pace=0.05) as api:
        assert api.status(uid) == "completed"


def test_truth_told_later_finishes_what_waited(tmp_path: Path) -> None:
    with serving(tmp_path, pace=0) as api:
        uid = approved(api, "later", many(3))
        assert api.status(uid) == "active"
    with serving(tmp_path, pace=0, truth="subfolder") as api:
        assert api.status(uid) == "completed"


@pytest.mark.parametrize("pace", [0, 3600])
def test_approval_itself_always_answers_active(serve: Serve, pace: float) -> None:
    api = serve(truth="subfolder", pace=pace)
    uid = api.project("now", many(2))
    assert api.act(uid, "approve").json()["status"] == "active"


def test_each_annotator_has_an_accuracy_of_their_own(tmp_path: Path) -> None:
    with serving(tmp_path, truth="subfolder", pace=0, annotators=2, accuracy=(1.0, 0.0)) as api:
        uid = approved(api, "team", many(12))
        tasks = api.tasks(uid)
    right = {
        name: {task["key"].startswith(f"{task['label']}/") for task in tasks if task["annotator"] == name}
        for name in ("annotator-1", "annotator-2")
    }
    assert right == {"annotator-1": {True}, "annotator-2": {False}}


def test_accuracies_can_be_given_on_the_command_line(tmp_path: Path) -> None:
    with SandboxProcess() as sandbox:
        shares = sandbox.start(tmp_path / "two", truth="subfolder", pace=0, annotators=2, accuracy="0,0")
        with Api(shares) as api:
            labels = api.labels(approved(api, "wrong", many(6)))
        assert not any(key.startswith(f"{label}/") for key, label in labels.items())


@pytest.mark.parametrize(("annotators", "accuracy"), [(2, (0.5,)), (1, (0.5, 0.5)), (2, (0.5, 1.5)), (1, -0.1)])
def test_accuracies_that_fit_nobody_are_refused(
    tmp_path: Path, annotators: int, accuracy: float | tuple[float, ...]
) -> None:
    with pytest.raises(SandboxError, match="accuracy"):
        Settings(state=tmp_path, annotators=annotators, accuracy=accuracy)
