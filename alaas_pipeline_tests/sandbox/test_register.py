"""Where Avala's documents and clients disagree: one test for each such point that concerns a server.

The numbers are those of the project's table of disagreements. Each test shows the default and, where there is
one, the switch that turns it into the other reading.
"""

import email.utils
import json
import time
import uuid
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import httpx
import pytest

from alaas_pipeline.sandbox import Settings
from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve, serving
from alaas_pipeline_tests.sandbox_process import NO_TLS

IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2)}
STATUSES = ("pending-approval", "active", "paused", "canceled", "archived", "completed")


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    """A server that answers as the published examples expect."""
    folder = tmp_path_factory.mktemp("published")
    with serving(folder, truth="subfolder", pace=0, creating_reads=0, dialect="published") as running:
        yield running


def labelled(api: Api, name: str, files: dict[str, bytes] = IMAGES) -> str:
    """The uid of a project whose every image is labelled."""
    uid = api.project(name, files)
    api.act(uid, "approve").raise_for_status()
    return uid


def ended(api: Api, uid: str) -> dict[str, Any]:
    """An export that has come to its end, by its own address."""
    while (found := api.get(f"/exports/{uid}/").raise_for_status().json())["download_url"] is None:
        assert found["status"] != "failed"
    return found


def exported(api: Api, project: str) -> dict[str, Any]:
    return ended(api, api.post("/exports/", json={"project": project}).raise_for_status().json()["uid"])


@pytest.mark.parametrize("key", ["avk_one", "avala_sk_one", "0123456789abcdef0123456789abcdef01234567"])
def test_row_02_a_key_of_any_look(serve: Serve, key: str) -> None:
    assert serve(api_key=key).without_key(key).get("/users/me/").status_code == 200


def test_row_03_three_routes_that_list_projects(api: Api, published: Api) -> None:
    uid = api.project("row-03", {})
    for path in ("/users/me/projects/", "/projects/sandbox-team/"):
        assert uid in {row["uid"] for row in api.get(path).json()["results"]}
    assert api.get("/projects/").status_code == 403
    mine = published.project("row-03", {})
    assert mine in {row["uid"] for row in published.get("/projects/").json()["results"]}
    stranger = published.as_key("avk_stranger", username="stranger")
    assert stranger.get("/projects/").json()["results"] == []


def test_row_04_statuses_are_spelled_one_way_and_asked_for_in_any(serve: Serve) -> None:
    api = serve(creating_reads=0)
    uid = api.project("row-04", IMAGES)
    seen = [api.status(uid)]
    for action in ("approve", "pause", "cancel", "archive"):
        seen.append(api.act(uid, action).raise_for_status().json()["status"])
        if action == "cancel":
            for word in ("canceled", "CANCELLED", "Canceled"):
                rows = api.get("/users/me/projects/", params={"status": word}).json()["results"]
                assert [row["uid"] for row in rows] == [uid]
    assert seen == ["pending-approval", "active", "paused", "canceled", "archived"]
    assert set(seen) < set(STATUSES)


def test_row_05_four_ways_to_ask_for_an_export(api: Api, serve: Serve) -> None:
    uid = labelled(api, "row-05")
    documented = {"name": "e", "format": "avala-json-external", "datasets": [], "projects": [uid], "slices": []}
    for path, body in (
        ("/exports/", documented),
        ("/exports/", {"project": uid}),
        ("/exports/", {"project_id": uid}),
        (f"/projects/{uid}/exports/", {"format": "coco"}),
    ):
        made = api.post(path, json=body)
        assert (made.status_code, made.json()["projects"]) == (201, [uid])
        ended(api, made.json()["uid"])
    strict = serve(truth="subfolder", pace=0, strict_exports=True)
    uid = labelled(strict, "row-05")
    assert strict.post("/exports/", json=documented | {"projects": [uid]}).status_code == 201
    assert strict.post("/exports/", json={"project": uid}).status_code == 400


def test_row_06_final_word_of_an_export(api: Api, published: Api, serve: Serve) -> None:
    assert exported(api, labelled(api, "row-06"))["status"] == "exported"
    assert exported(published, labelled(published, "row-06"))["status"] == "completed"
    # A switch that is set wins over the dialect.
    other = serve(truth="subfolder", pace=0, dialect="published", export_final="exported")
    assert exported(other, labelled(other, "row-06"))["status"] == "exported"


def test_row_07_first_word_of_an_export(api: Api, serve: Serve) -> None:
    for server, word in ((api, "requested"), (serve(export_first="pending", creating_reads=0), "pending")):
        made = server.post("/exports/", json={"project": server.project("row-07", {})}).json()
        assert (made["status"], made["download_url"]) == (word, None)
        ended(server, made["uid"])


def test_row_08_an_export_is_found_by_itself_and_in_the_list(api: Api) -> None:
    found = exported(api, labelled(api, "row-08"))
    row = next(row for row in api.get("/exports/").json()["results"] if row["uid"] == found["uid"])
    # Links are signed anew for every answer.
    assert {**row, "download_url": ""} == {**found, "download_url": ""}


def test_row_09_where_a_download_lies_and_what_it_is(api: Api, serve: Serve) -> None:
    stored = api.storage.get(exported(api, labelled(api, "row-09"))["download_url"])
    assert zipfile.is_zipfile(BytesIO(stored.content))
    bare = serve(truth="subfolder", pace=0, export_kind="json", export_url="api")
    uid = labelled(bare, "row-09")
    url = exported(bare, uid)["download_url"]
    assert url.startswith(f"{bare.root}/api/v1/exports/")
    assert json.loads(bare.get(url).content)["project"]["uid"] == uid
    assert bare.storage.get(url).status_code == 401
    assert bare.as_key("avk_stranger", username="stranger").get(url).status_code == 404


def test_row_09_an_export_that_is_not_done_has_no_file(serve: Serve) -> None:
    api = serve(creating_reads=0, export_url="api", export_reads=3)
    made = api.post("/exports/", json={"project": api.project("early", {})}).json()
    assert api.get(f"/exports/{made['uid']}/download/").status_code == 404


def test_row_10_a_presign_answers_a_form_or_a_put(api: Api) -> None:
    form = api.post("/datasets/manual-upload/file-upload-url/", json={"dataset_name": "d", "file_path_in_dataset": "a"})
    assert form.json().keys() == {"method", "url", "fields"}
    assert api.presign("d", "b.png", b"x")["method"] == "PUT"


def test_row_10_one_call_answers_a_url_for_each_file(published: Api) -> None:
    files = ["cats/a.png", {"name": "notes.txt", "size": 2}]
    made = published.finalise("one-call", data_type="images", files=files)
    assert (made.status_code, made.json()["status"]) == (201, "creating")
    url = f"/datasets/{made.json()['uid']}/"
    first, second = made.json()["upload_urls"]
    assert (first["name"], second["name"]) == ("cats/a.png", "notes.txt")
    # No content type is asked of a client that was told none.
    published.storage.put(first["url"], content=picture(1), headers={"Content-Type": "image/png"}).raise_for_status()
    assert [published.get(url).json()["status"] for _ in range(2)] == ["creating", "creating"]
    assert published.storage.put(second["url"], content=b"too long").status_code == 400
    published.storage.put(second["url"], content=b"hi").raise_for_status()
    assert [published.get(url).json()["status"] for _ in range(2)] == ["creating", "created"]
    assert published.get(url).json()["item_count"] == 1
    items = published.get("/datasets/sandbox-team/one-call/items/").json()["results"]
    assert [item["key"] for item in items] == ["cats/a.png"]
    assert published.storage.get(items[0]["url"]).content == picture(1)
    health = published.get("/datasets/sandbox-team/one-call/health/").json()
    assert health["issues"] == ["notes.txt: not a file that is indexed as image"]
    assert published.finalise("twice-named", files=["a.png", "a.png"]).json().keys() == {"files"}


def test_row_10_a_list_of_files_means_nothing_by_default(api: Api) -> None:
    made = api.finalise("files-ignored", files=["a.png"])
    assert (made.status_code, "upload_urls" in made.json()) == (201, False)


def test_row_11_the_size_of_a_file_may_be_left_out(api: Api) -> None:
    body = {"dataset_name": "row-11", "file_path_in_dataset": "a.png"}
    for more in ({}, {"content_length": 5}):
        assert api.post("/datasets/manual-upload/file-upload-url/", json=body | more).status_code == 200


def test_row_12_images_for_image(api: Api, serve: Serve) -> None:
    assert api.finalise("row-12", data_type="images").json()["data_type"] == "image"
    assert serve(strict_data_type=True).finalise("row-12", data_type="images").json().keys() == {"data_type"}


def test_row_13_two_lists_of_datasets(api: Api) -> None:
    uid = api.dataset("row-13", {})["uid"]
    for path in ("/datasets/", "/datasets/sandbox-team/list/"):
        assert uid in {row["uid"] for row in api.get(path, params={"limit": 1000}).json()["results"]}


def test_row_14_the_owner_of_a_dataset(api: Api, published: Api) -> None:
    shown = api.dataset("row-14", {})
    assert (shown["owner_name"], "owner" in shown) == ("sandbox-team", False)
    shown = published.dataset("row-14", {})
    assert shown["owner_name"] == shown["owner"] == "sandbox-team"


def test_row_15_an_item_has_the_fields_of_both_descriptions(api: Api) -> None:
    api.dataset("row-15", {"a.png": picture(1)})
    item = api.get("/datasets/sandbox-team/row-15/items/").json()["results"][0]
    assert item["url"] == item["data_url"]
    assert item["thumbnails"] == [item["thumbnail_url"]]


def test_row_16_cursors_and_page_numbers(api: Api) -> None:
    for name in ("row-16-a", "row-16-b"):
        api.dataset(name, {})
    cursored = api.get("/datasets/", params={"limit": 1}).json()
    assert cursored.keys() == {"next", "previous", "results"}
    assert "cursor" in httpx.URL(cursored["next"]).params
    for path in ("/datasets/sandbox-team/list/", "/organizations/", "/slices/sandbox-team/list/"):
        page = api.get(path, params={"limit": 1}).json()
        assert page.keys() == {"count", "next", "previous", "results"}
    page = api.get("/datasets/sandbox-team/list/", params={"limit": 1}).json()
    assert httpx.URL(page["next"]).params["page"] == "2"
    # A cursor means nothing there: who sends one gets the first page for ever.
    again = api.get("/datasets/sandbox-team/list/", params={"limit": 1, "cursor": "2"}).json()
    assert again["results"] == page["results"]


def test_row_17_page_size_without_a_limit(serve: Serve, tmp_path: Path) -> None:
    assert Settings(state=tmp_path).page_size == 100
    api = serve(page_size=2, creating_reads=0)
    for number in range(3):
        api.finalise(f"row-17-{number}").raise_for_status()
    assert len(api.get("/datasets/").json()["results"]) == 2
    assert len(api.get("/datasets/", params={"limit": 3}).json()["results"]) == 3


@pytest.mark.parametrize("shape", ["fields", "detail", "error"])
def test_row_18_shape_of_messages_about_fields(serve: Serve, shape: str) -> None:
    api = serve(creating_reads=0, error_shape=shape)
    dataset = api.dataset("row-18", {})["uid"]
    api.clone(dataset, "row-18").raise_for_status()
    # Once from the check of the body, once from a handler.
    for answer, message in (
        (api.clone(dataset, ""), "This field may not be blank."),
        (api.clone(dataset, "row-18"), "Project with this name already exists for this owner."),
    ):
        fields = {"name": [message]}
        error = {"code": "validation_error", "message": "Invalid input.", "details": fields}
        body = {"fields": fields, "detail": {"detail": fields}, "error": {"error": error}}[shape]
        assert (answer.status_code, answer.json()) == (422 if shape == "error" else 400, body)
    # What is about no field stays as it is.
    refused = api.act(api.get("/users/me/projects/").json()["results"][0]["uid"], "resume")
    assert refused.status_code == 400
    assert isinstance(refused.json()["detail"], str)


def test_row_19_status_of_a_taken_name(api: Api, serve: Serve) -> None:
    for server, status in ((api, 400), (serve(taken_name_status=409, creating_reads=0), 409)):
        dataset = server.dataset("row-19", {})["uid"]
        server.clone(dataset, "row-19").raise_for_status()
        parts = [{"type": "dataset", "dataset_uid": dataset}]
        sliced = {"name": "row-19", "visibility": "private", "sub_slices": parts}
        server.post("/slices/", json=sliced).raise_for_status()
        answers = [server.clone(dataset, "row-19"), server.finalise("row-19"), server.post("/slices/", json=sliced)]
        assert [answer.status_code for answer in answers] == [status] * 3
        assert all("already exists" in answer.text for answer in answers)
        assert all(("detail" in answer.json()) == (status == 409) for answer in answers)


@pytest.mark.parametrize("how", ["seconds", "date", "absent"])
def test_row_20_retry_after_of_a_throttled_request(serve: Serve, how: str) -> None:
    api = serve(requests_per_minute=1, retry_after=how)
    api.get("/users/me/").raise_for_status()
    answer = api.get("/users/me/")
    assert answer.status_code == 429
    value = answer.headers.get("Retry-After")
    if how == "absent":
        assert value is None
    elif how == "seconds":
        assert 1 <= int(value) <= 60
    else:
        assert time.time() < email.utils.parsedate_to_datetime(value).timestamp() <= time.time() + 61


def test_row_21_tasks_below_a_project(api: Api, published: Api) -> None:
    uid = labelled(api, "row-21")
    assert api.get(f"/projects/{uid}/tasks/").status_code == 404
    assert len(api.get("/tasks/", params={"project": uid}).json()["results"]) == 2
    uid = labelled(published, "row-21", IMAGES | {"c.png": picture(3)})
    url = f"/projects/{uid}/tasks/"
    done = published.get(url, params={"status": "completed"}).json()["results"]
    said = {annotation["label"]: annotation["annotation_type"] for task in done for annotation in task["annotations"]}
    assert said == {"cats": "classification", "dogs": "classification"}
    waiting = published.get(url, params={"status": "pending"}).json()["results"]
    assert [task["annotations"] for task in waiting] == [[]]
    assert published.get(f"/projects/{uuid.uuid4()}/tasks/").status_code == 404
    assert published.as_key("avk_other", username="other").get(url).status_code == 404


def test_row_22_words_of_a_task(api: Api) -> None:
    uid = labelled(api, "row-22", IMAGES | {"c.png": picture(3)})
    rows = api.get("/tasks/", params={"project": uid}).json()["results"]
    assert sorted(row["status"] for row in rows) == ["completed", "completed", "pending"]


def test_row_23_three_ways_to_watch_a_project(api: Api) -> None:
    uid = labelled(api, "row-23")
    assert len(api.get("/tasks/", params={"project": uid, "status": "completed"}).json()["results"]) == 2
    assert api.get(f"/projects/{uid}/metrics/").json()["completed_tasks"] == 2
    batch = next(row for row in api.get("/work-batches/").json()["results"] if row["project"] == uid)
    assert (batch["total_work_units"], batch["completed_work_units"]) == (2, 2)


def test_row_27_members_and_invitations(api: Api, published: Api) -> None:
    member = api.get("/organizations/sandbox-team-org/members/").json()["results"][0]
    assert (member["username"], "user" in member) == ("sandbox-team", False)
    nested = published.get("/organizations/sandbox-team-org/members/").json()["results"][0]
    assert nested["username"] == nested["user"]["username"] == "sandbox-team"
    url, body = "/organizations/sandbox-team-org/invitations/", {"email": "new@example.com", "role": "annotator"}
    flat = api.post(url, json=body)
    assert (flat.status_code, flat.json()["invited_email"], "email" in flat.json()) == (201, body["email"], False)
    assert published.post(url, json=body).json().items() >= (body | {"invited_email": body["email"]}).items()


def test_row_28_what_a_slice_is_made_of(api: Api) -> None:
    dataset = api.dataset("row-28", {})["uid"]
    body = {"name": "row-28", "visibility": "private"}
    first = api.post("/slices/", json=body | {"sub_slices": [{"type": "dataset", "dataset_uid": dataset}]})
    assert first.status_code == 201
    other = api.post("/slices/", json=body | {"sub_slices": [{"dataset": dataset, "query": "label=car"}]})
    assert other.json().keys() == {"sub_slices"}


def test_row_29_uids_are_uuids_in_lower_case(api: Api) -> None:
    uid = api.project("row-29", {})
    assert (uuid.UUID(uid).version, str(uuid.UUID(uid))) == (4, uid)


@pytest.mark.parametrize("key", [None, "wrong"])
def test_row_33_no_key_and_a_wrong_key(api: Api, key: str | None) -> None:
    headers = {} if key is None else {"X-Avala-Api-Key": key}
    answer = httpx.get(f"{api.root}/api/v1/users/me/", headers=headers, verify=NO_TLS)
    assert (answer.status_code, answer.json()) == (401, {"detail": "Invalid API key."})


def test_row_34_a_clone_is_a_201(api: Api) -> None:
    assert api.clone(api.dataset("row-34", {})["uid"], "row-34").status_code == 201


def test_row_35_where_an_error_is_explained(api: Api) -> None:
    answer = api.as_key("avk_basic", plan="BASIC").act(api.project("row-35", {}), "approve")
    assert answer.json()["doc_url"] == "https://docs.avala.ai/api/errors#plan_insufficient"
