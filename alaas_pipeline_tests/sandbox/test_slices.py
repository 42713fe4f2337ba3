import uuid
from pathlib import Path
from typing import Any

import httpx

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve, serving


def make(api: Api, name: str, *datasets: str, **more: Any) -> httpx.Response:
    parts = [{"type": "dataset", "dataset_uid": uid} for uid in datasets]
    return api.post("/slices/", json={"name": name, "visibility": "private", "sub_slices": parts} | more)


def test_a_slice_and_its_items(api: Api) -> None:
    cats = api.dataset("slice-cats", {"cats/a.png": picture(1), "cats/b.png": picture(2)})["uid"]
    dogs = api.dataset("slice-dogs", {"dogs/c.png": picture(3)})["uid"]
    made = make(api, "All the animals!", cats, dogs, cats)
    assert made.status_code == 201
    shown = made.json()
    assert shown["slug"] == "all-the-animals"
    assert (shown["owner_name"], shown["status"], shown["item_count"]) == ("sandbox-team", "created", 3)
    assert [part["dataset_uid"] for part in shown["sub_slices"]] == [cats, dogs]
    url = "/slices/sandbox-team/all-the-animals/"
    assert api.get(url).json() == shown
    assert shown in api.get("/slices/sandbox-team/list/").json()["results"]
    pages = api.pages(f"{url}items/list/", limit=2)
    items = [item for page in pages for item in page["results"]]
    assert {item["key"] for item in items} == {"cats/a.png", "cats/b.png", "dogs/c.png"}
    one = api.get(f"{url}items/{items[0]['uid']}/").json()
    assert (one["uid"], one["dataset"]) == (items[0]["uid"], items[0]["dataset"])
    assert api.storage.get(one["url"]).status_code == 200
    api.dataset("slice-other", {"x.png": picture(4)})
    elsewhere = api.get("/datasets/sandbox-team/slice-other/items/").json()["results"][0]["uid"]
    assert api.get(f"{url}items/{elsewhere}/").status_code == 404


def test_what_a_slice_is_refused_for(api: Api) -> None:
    dataset = api.dataset("slice-refused", {})["uid"]
    theirs = api.as_key("avk_slices", username="slices").finalise("theirs").json()["uid"]

    def fields(answer: httpx.Response) -> set[str]:
        assert answer.status_code == 400
        return set(answer.json())

    assert make(api, "taken", dataset).status_code == 201
    assert fields(make(api, "taken", dataset)) == {"name"}
    # The slug is the other handle of a slice: it is taken too.
    assert fields(make(api, "Taken", dataset)) == {"name"}
    assert fields(make(api, "none")) == {"sub_slices"}
    assert fields(make(api, "nowhere", str(uuid.uuid4()))) == {"sub_slices"}
    assert fields(make(api, "theirs", theirs)) == {"sub_slices"}
    assert fields(make(api, "some", dataset, random_selection_count=3)) == {"random_selection_count"}
    assert fields(make(api, "org", dataset, organization="nobody-org")) == {"organization"}
    owned = make(api, "org", dataset, organization="sandbox-team-org").json()
    assert owned["owner_name"] == "sandbox-team-org"


def test_who_sees_a_slice(api: Api) -> None:
    dataset = api.dataset("slice-seen", {})["uid"]
    make(api, "hidden", dataset).raise_for_status()
    make(api, "shared", dataset, visibility="public").raise_for_status()
    stranger = api.as_key("avk_looks", username="looks")
    assert stranger.get("/slices/sandbox-team/hidden/").status_code == 404
    assert stranger.get("/slices/sandbox-team/shared/").json()["name"] == "shared"
    assert [row["name"] for row in stranger.get("/slices/sandbox-team/list/").json()["results"]] == ["shared"]
    scoped = api.as_key("avk_no_slices", scopes=["datasets.read"])
    assert scoped.get("/slices/sandbox-team/hidden/").status_code == 403
    assert make(scoped, "not mine", dataset).status_code == 403


def test_a_project_is_cloned_onto_a_slice(serve: Serve) -> None:
    api = serve(truth="subfolder", pace=0, creating_reads=0)
    dataset = api.dataset("one", {"cats/a.png": picture(1)})["uid"]
    other = api.dataset("two", {})["uid"]
    whole = make(api, "whole", dataset).json()["uid"]
    several = make(api, "several", dataset, other).json()["uid"]
    assert api.clone(dataset, "both", slice_uid=whole).json().keys() == {"slice_uid"}
    assert api.clone(None, "several", slice_uid=several).json().keys() == {"slice_uid"}
    assert api.clone(None, "none", slice_uid=str(uuid.uuid4())).json().keys() == {"slice_uid"}
    stranger = api.as_key("avk_stranger", username="stranger")
    assert stranger.clone(None, "theirs", slice_uid=whole).json().keys() == {"slice_uid"}
    uid = api.clone(None, "sliced", slice_uid=whole).raise_for_status().json()["uid"]
    api.act(uid, "approve").raise_for_status()
    assert api.labels(uid) == {"cats/a.png": "cats"}


def test_slices_and_invitations_outlive_a_restart(tmp_path: Path) -> None:
    url = "/organizations/sandbox-team-org/invitations/"
    with serving(tmp_path, creating_reads=0) as api:
        make(api, "kept", api.dataset("kept", {})["uid"]).raise_for_status()
        api.post(url, json={"email": "a@b.example"}).raise_for_status()
    with serving(tmp_path) as api:
        assert api.get("/slices/sandbox-team/kept/").json()["name"] == "kept"
        assert [row["invited_email"] for row in api.get(url).json()["results"]] == ["a@b.example"]


def test_invitations(api: Api) -> None:
    url = "/organizations/sandbox-team-org/invitations/"
    made = api.post(url, json={"email": "first@example.com"})
    assert (made.status_code, made.json()["role"], made.json()["status"]) == (201, "member", "pending")
    assert (made.json()["invited_by_username"], made.json()["is_expired"]) == ("sandbox-team", False)
    assert api.post(url, json={"email": "second@example.com", "role": "admin"}).json()["role"] == "admin"
    page = api.get(url).json()
    assert [row["invited_email"] for row in page["results"]] == ["second@example.com", "first@example.com"]
    assert page["count"] == 2
    for body in ({"email": "first@example.com"}, {"email": "nobody"}, {}):
        answer = api.post(url, json=body)
        assert (answer.status_code, set(answer.json())) == (400, {"email"})
    stranger = api.as_key("avk_uninvited", username="uninvited")
    assert [stranger.get(url).status_code, stranger.post(url, json={"email": "a@b.example"}).status_code] == [404, 404]
    assert api.as_key("avk_no_scope", scopes=[]).get(url).status_code == 403
