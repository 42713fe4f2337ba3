"""Webhooks: who is told what, how it is signed, and what becomes of it when nobody listens."""

import hashlib
import hmac
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve, serving
from alaas_pipeline_tests.sandbox.receiver import Receiver, listening, until

EVENTS = [
    *("dataset.created", "dataset.updated", "dataset.deleted", "export.completed", "export.failed"),
    *("task.completed", "result.submitted", "result.accepted", "result.rejected"),
]
IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2)}


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with listening() as made:
        yield made


def subscribe(api: Api, receiver: Receiver, events: list[str] = EVENTS, **more: Any) -> dict[str, Any]:
    answer = api.post("/webhooks/", json={"target_url": receiver.url, "events": events} | more)
    return answer.raise_for_status().json()


def deliveries(api: Api) -> list[dict[str, Any]]:
    return api.get("/webhook-deliveries/").raise_for_status().json()["results"]


@pytest.mark.parametrize("dialect", ["sdk", "published"])
def test_row_24_a_webhook_is_sent_the_bare_resource_or_an_envelope(
    serve: Serve, receiver: Receiver, dialect: str
) -> None:
    api = serve(dialect=dialect, creating_reads=0)
    hook = subscribe(api, receiver, ["dataset.created"], secret="a-long-secret")
    dataset = api.finalise("row-24").raise_for_status().json()
    (one,) = receiver.wait_for(1)
    assert one.signature == hmac.new(b"a-long-secret", one.body, hashlib.sha256).hexdigest()
    assert one.event == "dataset.created"
    resource = one.told
    if dialect == "published":
        assert (resource.keys(), resource["event"]) == ({"event", "timestamp", "data"}, "dataset.created")
        resource = resource["data"]
    assert (resource["uid"], resource["name"], resource["status"]) == (dataset["uid"], "row-24", "created")
    until(lambda: deliveries(api)[0]["status"] == "delivered")
    (row,) = deliveries(api)
    assert (row["uid"], row["subscription"], row["event_type"]) == (one.delivery, hook["uid"], "dataset.created")
    assert (row["attempts"], row["response_status"], row["response_body"]) == (1, 200, "ok")
    assert row["payload"] == resource
    assert api.get(f"/webhook-deliveries/{one.delivery}/").json() == row


def test_row_25_nine_events_can_be_asked_for(serve: Serve, receiver: Receiver) -> None:
    api = serve(truth="subfolder", pace=0)
    assert subscribe(api, receiver)["events"] == EVENTS
    for event in ("project.status_changed", "task.submitted", "task.approved", ""):
        answer = api.post("/webhooks/", json={"target_url": receiver.url, "events": [event]})
        assert (answer.status_code, set(answer.json())) == (400, {"events"})
    project = api.project("row-25", IMAGES)
    api.act(project, "approve").raise_for_status()
    export = api.export({"project": project})
    failed = api.post("/exports/", json={"project": project}).json()["uid"]
    api.admin(f"exports/{failed}/fail", {}).raise_for_status()
    dataset = api.get("/datasets/sandbox-team/row-25/").json()["uid"]
    api.storage.delete(f"{api.root}/_sandbox/datasets/{dataset}").raise_for_status()
    receiver.wait_for(11)
    assert sorted(receiver.events()) == sorted(
        [
            *("dataset.created", "dataset.updated", "dataset.deleted", "export.completed", "export.failed"),
            *("task.completed", "result.submitted", "result.accepted") * 2,
        ]
    )
    told = {one.event: one.told for one in receiver.received}
    assert (told["dataset.created"]["status"], told["dataset.updated"]["status"]) == ("creating", "created")
    # In words of its own, and without a link: an export is read anew.
    completed = told["export.completed"]
    assert (completed["uid"], completed["status"], completed["format"]) == (export["uid"], "completed", "avala_json")
    assert (completed["exported_task_count"], completed["download_url"]) == (2, None)
    assert (told["export.failed"]["uid"], told["export.failed"]["status"]) == (failed, "failed")
    assert (told["task.completed"]["project"], told["task.completed"]["status"]) == (project, "completed")
    assert len({one.delivery for one in receiver.received}) == 11


def test_row_26_a_secret_is_shown_only_when_it_is_made(serve: Serve, receiver: Receiver) -> None:
    api = serve()
    made = subscribe(api, receiver)
    assert len(made["secret"]) >= 32
    listed = api.get("/webhooks/").json()["results"]
    changed = api.patch(f"/webhooks/{made['uid']}/", json={"events": ["task.completed"]}).json()
    for shown in (*listed, api.get(f"/webhooks/{made['uid']}/").json(), changed):
        assert shown.keys() == made.keys() - {"secret"}
    assert changed["events"] == ["task.completed"]
    assert made["secret"] not in json.dumps(api.admin("effects").json())


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/hook",
        "http://example.com/hook",
        "https://127.0.0.1/hook",
        "http://localhost/hook",
        "http://127.0.0.1.example.com/hook",
        "http://127.0.0.1@example.com/hook",
        "http://user:pw@127.0.0.1/hook",
        "http://0.0.0.0/hook",
        "http://169.254.169.254/latest",
        "http://127.0.0.1:99999/hook",
        "http://[::1",
        "file:///etc/passwd",
    ],
)
def test_nobody_but_this_machine_is_called(api: Api, receiver: Receiver, url: str) -> None:
    answer = api.post("/webhooks/", json={"target_url": url, "events": EVENTS})
    assert (answer.status_code, set(answer.json())) == (400, {"target_url"})
    made = subscribe(api, receiver, is_active=False)
    assert api.patch(f"/webhooks/{made['uid']}/", json={"target_url": url}).status_code == 400
    if "example" in url:
        assert "http://127.0.0.1" in answer.json()["target_url"][0]


def test_a_redirect_is_no_receipt_and_is_not_followed(serve: Serve, receiver: Receiver) -> None:
    api = serve()
    hook = subscribe(api, receiver)
    receiver.statuses = [302]
    assert api.post(f"/webhooks/{hook['uid']}/test/").json() == {"delivered": False, "success": False}
    assert deliveries(api)[0]["status"] == "failed"


def test_what_fails_is_tried_again_under_the_same_number(serve: Serve, receiver: Receiver) -> None:
    api = serve(webhook_pause_s=0.02)
    subscribe(api, receiver, ["dataset.created"])
    receiver.statuses = [500, 404]
    api.finalise("again").raise_for_status()
    tries = receiver.wait_for(3)
    assert len({(one.delivery, one.body, one.signature) for one in tries}) == 1
    until(lambda: deliveries(api)[0]["status"] == "delivered")
    assert deliveries(api)[0]["attempts"] == 3
    receiver.statuses = [500] * 9
    api.finalise("in-vain").raise_for_status()
    until(lambda: deliveries(api)[0]["status"] == "failed")
    row = deliveries(api)[0]
    assert (row["attempts"], row["response_status"], row["next_retry_at"]) == (5, 500, None)
    assert len(receiver.received) == 8


def test_a_restart_goes_on_with_what_waits(tmp_path: Path, receiver: Receiver) -> None:
    receiver.statuses = [500]
    with serving(tmp_path, webhook_pause_s=0.5) as api:
        subscribe(api, receiver, ["dataset.created"])
        api.finalise("waits").raise_for_status()
        receiver.wait_for(1)
        until(lambda: deliveries(api)[0]["attempts"] == 1)
        assert deliveries(api)[0]["status"] == "pending"
    with serving(tmp_path) as api:
        first, second = receiver.wait_for(2)
        assert (first.delivery, first.body) == (second.delivery, second.body)
        until(lambda: deliveries(api)[0]["status"] == "delivered")


def test_no_answer_waits_for_a_webhook(serve: Serve, receiver: Receiver) -> None:
    api = serve(creating_reads=0)
    receiver.held = threading.Event()
    subscribe(api, receiver, ["dataset.created"])
    try:
        for number in range(5):
            api.finalise(f"held-{number}").raise_for_status()
        assert len(api.get("/datasets/").json()["results"]) == 5
        assert receiver.received == []
    finally:
        receiver.held.set()
    receiver.wait_for(5)


def test_what_is_switched_off_or_deleted_is_sent_nothing(serve: Serve, receiver: Receiver) -> None:
    api = serve(webhook_pause_s=0.05)
    hook = subscribe(api, receiver, ["dataset.created"])
    api.patch(f"/webhooks/{hook['uid']}/", json={"is_active": False}).raise_for_status()
    api.finalise("while-off").raise_for_status()
    api.patch(f"/webhooks/{hook['uid']}/", json={"is_active": True}).raise_for_status()
    receiver.statuses = [500]
    api.finalise("while-on").raise_for_status()
    receiver.wait_for(1)
    assert api.delete(f"/webhooks/{hook['uid']}/").status_code == 204
    assert api.get(f"/webhooks/{hook['uid']}/").status_code == 404
    until(lambda: deliveries(api)[0]["status"] in ("failed", "delivered"))
    assert receiver.received[0].told["name"] == "while-on"
    assert len(deliveries(api)) == 1


def test_webhooks_of_others_are_not_there(serve: Serve, receiver: Receiver) -> None:
    api = serve()
    hook = subscribe(api, receiver)
    assert api.post(f"/webhooks/{hook['uid']}/test/").json()["delivered"] is True
    delivery = deliveries(api)[0]["uid"]
    stranger = api.as_key("avk_stranger", username="stranger")
    assert stranger.get("/webhooks/").json()["results"] == []
    assert stranger.get("/webhook-deliveries/").json()["results"] == []
    for path in (f"/webhooks/{hook['uid']}/", f"/webhook-deliveries/{delivery}/"):
        assert stranger.get(path).status_code == 404
    assert stranger.post(f"/webhooks/{hook['uid']}/test/").status_code == 404
    stranger.finalise("not-yours").raise_for_status()
    mine = api.finalise("mine").raise_for_status().json()["uid"]
    until(lambda: "dataset.created" in receiver.events() and len(receiver.received) >= 2)
    assert [one.told["uid"] for one in receiver.received[1:]] == [mine]
