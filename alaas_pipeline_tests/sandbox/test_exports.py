import io
import json
import uuid
import zipfile
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve, serving

IMAGES = {"cats/a.png": picture(1), "dogs/b.png": picture(2), "top.png": picture(3, size=(9, 4))}


def finished(api: Api, name: str) -> str:
    uid = api.project(name, IMAGES)
    api.act(uid, "approve").raise_for_status()
    return uid


def documented(uid: str, **more: Any) -> dict[str, Any]:
    return {"name": "e", "format": "avala-json-external", "datasets": [], "projects": [uid], "slices": []} | more


def content(data: bytes) -> dict[str, Any]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        assert archive.namelist() == ["export.json"]
        return json.loads(archive.read("export.json"))


def test_an_export_moves_on_as_it_is_read(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, export_reads=2)
    uid = finished(api, "moving")
    made = api.post("/exports/", json=documented(uid, name="round 1"))
    assert made.status_code == 201
    assert (
        made.json().items()
        >= {
            "name": "round 1",
            "format": "avala-json-external",
            "status": "requested",
            "total_task_count": None,
            "exported_task_count": None,
            "download_url": None,
            "projects": [uid],
            "datasets": [],
            "slices": [],
            "organization": None,
        }.items()
    )
    reads = [api.get(f"/exports/{made.json()['uid']}/").json() for _ in range(3)]
    assert [read["status"] for read in reads] == ["processing", "processing", "exported"]
    assert (reads[2]["total_task_count"], reads[2]["exported_task_count"]) == (3, 2)
    listed = api.get("/exports/").json()["results"]
    assert [(row["uid"], row["status"]) for row in listed] == [(made.json()["uid"], "exported")]


def test_the_list_moves_exports_on_too(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, export_reads=1)
    api.post("/exports/", json=documented(finished(api, "listed"))).raise_for_status()
    assert [api.get("/exports/").json()["results"][0]["status"] for _ in range(2)] == ["processing", "exported"]


def test_what_an_export_holds(api: Api) -> None:
    uid = finished(api, "holds")
    task = next(task for task in api.tasks(uid) if task["status"] == "pending")
    before = content(api.storage.get(api.export(documented(uid))["download_url"]).content)
    assert {item["key"]: item["status"] for item in before["items"]} == {
        "cats/a.png": "completed",
        "dogs/b.png": "completed",
        "top.png": "pending",
    }
    api.admin(f"projects/{uid}/tasks/{task['uid']}/answer", {"refusal_reason": "blurred"}).raise_for_status()
    export = api.export(documented(uid, name="whole"))
    assert export["exported_task_count"] == export["total_task_count"] == 3
    found = content(api.storage.get(export["download_url"]).content)
    dataset = api.get("/datasets/sandbox-team/holds/").json()
    assert found["format"] == "avala-json-external"
    assert found["version"] == 1
    assert found["export_uid"] == export["uid"]
    assert found["project"] == {"uid": uid, "name": "holds"}
    assert found["dataset"] == {"uid": dataset["uid"], "name": "holds", "slug": "holds"}
    assert found["label_schema"] == ["cats", "dogs"]
    items = {item["key"]: item for item in found["items"]}
    listed = {item["key"]: item for item in api.get("/datasets/sandbox-team/holds/items/").json()["results"]}
    assert {key: item["item_uid"] for key, item in items.items()} == {k: i["uid"] for k, i in listed.items()}
    assert listed["cats/a.png"]["annotations"] == {"label": "cats"}
    cat = items["cats/a.png"]
    assert (cat["width"], cat["height"], cat["status"], cat["refusal_reason"]) == (8, 6, "completed", None)
    annotation = cat["annotations"][0]
    assert (
        annotation.items()
        >= {
            "type": "classification",
            "label": "cats",
            "attributes": {},
            "created_by": "annotator-1",
        }.items()
    )
    assert (
        items["top.png"].items()
        >= {
            "width": 9,
            "height": 4,
            "status": "refused",
            "refusal_reason": "blurred",
            "annotations": [],
        }.items()
    )


def test_two_exports_of_a_finished_project_differ_only_in_their_uid(api: Api) -> None:
    uid = finished(api, "twice")
    first, second = (content(api.storage.get(api.export({"project": uid})["download_url"]).content) for _ in range(2))
    assert first.pop("export_uid") != second.pop("export_uid")
    assert first == second


@pytest.mark.parametrize("variant", ["documented", "project", "project_id", "both", "dataset", "datasets"])
def test_the_published_bodies(api: Api, variant: str) -> None:
    uid = finished(api, f"body-{variant}")
    dataset = api.get(f"/datasets/sandbox-team/body-{variant}/").json()["uid"]
    body = {
        "documented": documented(uid),
        "project": {"project": uid},
        "project_id": {"project_id": uid},
        "both": {"project": uid, "dataset": dataset},
        "dataset": {"dataset": dataset},
        "datasets": documented(uid, projects=[], datasets=[dataset]),
    }[variant]
    export = api.export(body)
    assert export["projects"] == [uid]
    assert export["exported_task_count"] == 2
    found = content(api.storage.get(export["download_url"]).content)
    assert found["dataset"]["uid"] == dataset
    assert (found["project"] is None) == variant.startswith("dataset")


def test_the_route_below_a_project(api: Api) -> None:
    uid = finished(api, "below")
    for body in ({"format": "coco"}, {"format": "avala-json-external"}, {}, None):
        made = api.post(f"/projects/{uid}/exports/", json=body)
        assert made.status_code == 201
        assert made.json()["format"] == "avala-json-external"
        while api.get(f"/exports/{made.json()['uid']}/").json()["status"] != "exported":
            pass
    assert api.post(f"/projects/{uid}/exports/", json={"format": "YOLO"}).status_code == 400
    assert api.post(f"/projects/{uuid.uuid4()}/exports/", json={}).status_code == 404


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "non_field_errors"),
        ({"project": str(uuid.uuid4())}, "projects"),
        ({"dataset": str(uuid.uuid4())}, "datasets"),
        ({"project": "x"}, "project"),
        ({"projects": "x"}, "projects"),
        ({"projects": [str(uuid.uuid4()), str(uuid.uuid4())]}, "projects"),
        ({"slices": [str(uuid.uuid4())]}, "slices"),
        ({"format": "mp3"}, "format"),
        ({"name": ""}, "name"),
        ({"name": "n" * 256}, "name"),
        ({"project": "00000000-0000-4000-8000-000000000001"}, "projects"),
    ],
)
def test_unsound_requests(api: Api, body: dict[str, Any], field: str) -> None:
    answer = api.post("/exports/", json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_a_dataset_of_another_project_is_refused(api: Api) -> None:
    uid = finished(api, "mine")
    other = api.dataset("not-mine", {})["uid"]
    assert api.post("/exports/", json=documented(uid, datasets=[other])).json().keys() == {"datasets"}


def test_strict_exports_want_every_documented_field(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, strict_exports=True)
    uid = finished(api, "strict")
    answer = api.post("/exports/", json={"project": uid})
    assert answer.status_code == 400
    missing = ["This field is required."]
    assert answer.json() == dict.fromkeys(("name", "format", "datasets", "projects", "slices"), missing)
    assert api.post("/exports/", json=documented(uid)).status_code == 201


def test_bare_json_when_asked_for(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, export_kind="json")
    export = api.export({"project": finished(api, "bare")})
    answer = api.storage.get(export["download_url"])
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.json()["export_uid"] == export["uid"]
    assert ".json?" in export["download_url"]


def test_download_urls_are_signed_anew_and_expire(tmp_path: Path) -> None:
    with serving(tmp_path, truth="subfolder", pace=0) as api:
        export = api.export({"project": finished(api, "late")})
    with serving(tmp_path, url_lifetime_s=0) as api:
        url = api.get(f"/exports/{export['uid']}/").json()["download_url"]
        late = api.storage.get(url)
        assert late.status_code == 403
        assert "expired" in late.text
        item = api.get("/datasets/sandbox-team/late/items/").json()["results"][0]
        assert api.storage.get(item["url"]).status_code == 403
    with serving(tmp_path) as api:
        fresh = api.get(f"/exports/{export['uid']}/").json()["download_url"]
        assert fresh.split("?")[1] != url.split("?")[1]
        assert api.storage.get(fresh).status_code == 200


def test_downloads_refuse_keys_and_tampering(api: Api) -> None:
    url = api.export({"project": finished(api, "tampered")})["download_url"]
    assert api.storage.get(url).status_code == 200
    assert api.storage.get(url, headers={"X-Avala-Api-Key": "avk_sandbox"}).status_code == 400
    assert api.storage.get(url[:-4] + "0000").status_code == 403
    assert api.storage.put(url, content=b"").status_code == 405
    other = api.export({"project": finished(api, "other")})
    assert api.storage.get(url.replace(url.split("/")[-1].split(".")[0], other["uid"])).status_code == 403


def test_export_scopes_and_owners(api: Api) -> None:
    uid = finished(api, "scoped")
    reader = api.as_key("avk_reads", scopes=["exports.read"])
    assert reader.post("/exports/", json={"project": uid}).json()["code"] == "scope_required"
    assert reader.get("/exports/").status_code == 200
    creator = api.as_key("avk_creates", scopes=["exports.create"])
    export = creator.export({"project": uid})
    assert api.as_key("avk_none", scopes=["tasks.read"]).get("/exports/").status_code == 403
    stranger = api.as_key("avk_stranger", username="stranger")
    assert stranger.get(f"/exports/{export['uid']}/").status_code == 404
    assert stranger.get("/exports/").json()["results"] == []
    assert stranger.post("/exports/", json={"project": uid}).status_code == 400


def test_only_some_exports_run_at_a_time(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, concurrent_exports=2)
    uid = finished(api, "many")
    first = api.post("/exports/", json={"project": uid}).json()["uid"]
    assert api.post("/exports/", json={"project": uid}).status_code == 201
    refused = api.post("/exports/", json={"project": uid})
    assert refused.status_code == 429
    assert int(refused.headers["Retry-After"]) > 0
    while api.get(f"/exports/{first}/").json()["status"] != "exported":
        pass
    assert api.post("/exports/", json={"project": uid}).status_code == 201


def test_a_schema_of_the_template_is_in_every_export(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, labels=("lions", "cats"))
    found = content(api.storage.get(api.export({"project": finished(api, "schema")})["download_url"]).content)
    assert found["label_schema"] == ["cats", "dogs", "lions"]
