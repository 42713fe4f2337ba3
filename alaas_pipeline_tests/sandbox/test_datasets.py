import uuid
from typing import Any

import pytest

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve

OWNER = "sandbox-team"


def test_a_dataset_is_created_after_some_reads(serve: Serve) -> None:
    api = serve(creating_reads=2)
    api.upload("slow", {"a.png": picture(1)})
    made = api.finalise("slow")
    assert made.status_code == 201
    assert made.json()["status"] == "creating"
    uid = made.json()["uid"]
    assert str(uuid.UUID(uid)) == uid
    assert uuid.UUID(uid).version == 4
    assert api.clone(uid, "early").json() == {"image_dataset_uid": ["This dataset is still being created."]}
    assert api.get(f"/datasets/{OWNER}/slow/items/").json()["results"] == []
    first = api.get(f"/datasets/{uid}/").json()
    second = api.get(f"/datasets/{OWNER}/slow/").json()
    third = api.get(f"/datasets/{uid}/").json()
    assert [d["status"] for d in (first, second, third)] == ["creating", "creating", "created"]
    assert [d["item_count"] for d in (first, second, third)] == [0, 0, 1]
    assert third["size_bytes"] == len(picture(1))


def test_the_fields_of_a_dataset(api: Api) -> None:
    found = api.dataset("fields", {"a.png": picture(1)})
    assert (
        found.items()
        >= {
            "name": "fields",
            "slug": "fields",
            "data_type": "image",
            "is_sequence": False,
            "visibility": "private",
            "item_count": 1,
            "project_count": 0,
            "owner_name": OWNER,
            "annotations_count": 0,
            "predefined_labels": [],
        }.items()
    )


def test_a_taken_name_or_slug_is_a_field_error(api: Api) -> None:
    api.dataset("taken", {})
    name = {"name": ["Dataset with this name already exists."]}
    slug = {"slug": ["Dataset with this slug already exists."]}
    for answer, wanted in (
        (api.finalise("taken", slug="free"), name),
        (api.finalise("free", slug="taken"), slug),
        (api.finalise("taken"), name | slug),
    ):
        assert (answer.status_code, answer.json()) == (400, wanted)
    # Names are unique for each owner, not for all.
    assert api.as_key("avk_neighbour", username="neighbour").finalise("taken").status_code == 201


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"slug": "a b"}, "slug"),
        ({"slug": ""}, "slug"),
        ({"data_type": "sound"}, "data_type"),
        ({"visibility": "secret"}, "visibility"),
        ({"owner_name": "nobody"}, "owner_name"),
        ({"name": "n" * 256}, "name"),
    ],
)
def test_unsound_finalise_fields(api: Api, more: dict[str, Any], field: str) -> None:
    body = {"name": "unsound", "slug": "unsound", "data_type": "image"} | more
    answer = api.post("/datasets/manual-upload/", json=body)
    assert answer.status_code == 400
    assert list(answer.json()) == [field]


def test_images_is_taken_for_image_unless_strict(serve: Serve) -> None:
    assert serve().finalise("a", data_type="images").json()["data_type"] == "image"
    strict = serve(strict_data_type=True).finalise("a", data_type="images")
    assert (strict.status_code, strict.json()) == (400, {"data_type": ['"images" is not a valid choice.']})


def test_everything_under_the_name_is_indexed_and_the_rest_reported(api: Api) -> None:
    good = picture(1)
    api.upload("mixed", {"left/over.jpg": picture(2, "JPEG")})
    files = {
        "a.png": good,
        "B.PNG": picture(3),
        "notes.txt": b"hello",
        "cut.png": good[: len(good) // 2],
        "empty.jpg": b"",
    }
    found = api.dataset("mixed", files)
    assert found["item_count"] == 3
    items = api.get(f"/datasets/{OWNER}/mixed/items/").json()["results"]
    assert {item["key"] for item in items} == {"left/over.jpg", "a.png", "B.PNG"}
    health = api.get(f"/datasets/{OWNER}/mixed/health/").json()
    assert health["ingest_ok"] is False
    assert {issue.split(":")[0] for issue in health["issues"]} == {"notes.txt", "cut.png", "empty.jpg"}
    assert health["item_count"] == 3
    assert health["s3_prefix"].endswith("/mixed/")


def test_a_dataset_without_images_is_empty_not_an_error(api: Api) -> None:
    assert api.dataset("empty", {"a.txt": b"x"})["item_count"] == 0


def test_an_image_that_came_first_under_another_suffix_is_an_item_later(api: Api) -> None:
    data = picture(77)
    api.dataset("renamed", {"a.bin": data})
    api.dataset("renamed-2", {"a.png": data})
    item = api.get(f"/datasets/{OWNER}/renamed-2/items/").json()["results"][0]
    assert item["metadata"]["width"] == 8


def test_filters(serve: Serve) -> None:
    api = serve(creating_reads=1)
    for name, kind in (("Alpha", "image"), ("beta", "lidar"), ("alphabet", "image")):
        api.finalise(name, data_type=kind, visibility="public" if name == "beta" else "private")

    def names(**params: str) -> list[str]:
        return [d["name"] for d in api.get("/datasets/", params=params).json()["results"]]

    assert names(status="creating") == ["alphabet", "beta", "Alpha"]
    assert names(status="created") == ["alphabet", "beta", "Alpha"]
    assert names(name="ALPHA") == ["alphabet", "Alpha"]
    assert names(data_type="lidar") == names(visibility="public") == ["beta"]
    assert names(name="alpha", data_type="lidar") == []
    assert names(ordering="name") == ["Alpha", "alphabet", "beta"]


def test_others_see_public_datasets_only(api: Api) -> None:
    api.dataset("hidden", {})
    api.finalise("shown", visibility="public").raise_for_status()
    other = api.as_key("avk_stranger", username="stranger")
    assert other.get(f"/datasets/{OWNER}/hidden/").status_code == 404
    assert other.get(f"/datasets/{OWNER}/shown/").status_code == 200
    assert "hidden" not in {d["name"] for d in other.get("/datasets/").json()["results"]}


def test_an_owner_may_be_named_by_email(api: Api) -> None:
    api.dataset("by-mail", {})
    email = api.get("/users/me/").json()["email"]
    assert api.get(f"/datasets/{email}/by-mail/").json()["owner_name"] == OWNER


def test_owner_list_goes_by_page_number(serve: Serve) -> None:
    api = serve()
    for name in "abc":
        api.finalise(name).raise_for_status()
    pages = api.pages(f"/datasets/{OWNER}/list/", limit=2, ordering="name")
    assert [[d["name"] for d in page["results"]] for page in pages] == [["a", "b"], ["c"]]
    assert [page["count"] for page in pages] == [3, 3]
    assert pages[1]["previous"].endswith("page=1")
    # A cursor means nothing here: page 1 comes again.
    again = api.get(f"/datasets/{OWNER}/list/", params={"limit": 2, "cursor": "2", "ordering": "name"}).json()
    assert [d["name"] for d in again["results"]] == ["a", "b"]
    for page in ("3", "0", "x"):
        answer = api.get(f"/datasets/{OWNER}/list/", params={"limit": 2, "page": page})
        assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid page."})


def test_items_come_newest_first_in_pages(api: Api) -> None:
    files = {f"{n:02}.png": picture(n) for n in range(7)}
    api.dataset("paged", files)
    url = f"/datasets/{OWNER}/paged/items/"
    pages = api.pages(url, limit=3)
    keys = [[item["key"] for item in page["results"]] for page in pages]
    assert keys == [["06.png", "05.png", "04.png"], ["03.png", "02.png", "01.png"], ["00.png"]]
    assert pages[0]["next"].startswith(f"{api.root}/api/v1{url}?")
    assert "limit=3" in pages[0]["next"]
    assert pages[0]["previous"] is None
    back = api.get(pages[2]["previous"]).json()
    assert [item["key"] for item in back["results"]] == keys[1]
    first = api.get(back["previous"]).json()
    assert [item["key"] for item in first["results"]] == keys[0]
    assert first["previous"] is None
    ascending = api.get(url, params={"ordering": "key", "limit": 2}).json()
    assert [item["key"] for item in ascending["results"]] == ["00.png", "01.png"]
    follow = api.get(ascending["next"]).json()
    assert [item["key"] for item in follow["results"]] == ["02.png", "03.png"]


def test_next_follows_the_host_header(api: Api) -> None:
    api.dataset("hosted", {f"{n}.png": picture(n) for n in range(2)})
    url = f"/datasets/{OWNER}/hosted/items/?limit=1"
    page = api.get(url, headers={"Host": "localhost:81"}).json()
    assert page["next"].startswith("http://localhost:81/api/v1/datasets/")
    assert page["results"][0]["url"].startswith("http://localhost:81/_storage/")


@pytest.mark.parametrize(
    "cursor",
    ["x", "bm90IGpzb24=", "e30=", "WzEsMl0=", "W3t9LCAxLCAwXQ==", "WzEwMDAwMDAwMDAwMDAwMDAwMDAwMDAwMCwgMSwgMF0="],
)
def test_a_foreign_cursor_is_a_404(api: Api, cursor: str) -> None:
    answer = api.get("/tasks/", params={"cursor": cursor})
    assert (answer.status_code, answer.json()) == (404, {"detail": "Invalid cursor"})


@pytest.mark.parametrize(("limit", "count"), [("2", 2), ("0", 3), ("-1", 3), ("many", 3), ("", 3), ("9999", 4)])
def test_page_sizes(serve: Serve, limit: str, count: int) -> None:
    api = serve(page_size=3)
    for name in "abcd":
        api.finalise(name)
    assert len(api.get("/datasets/", params={"limit": limit}).json()["results"]) == count


def test_one_item(api: Api) -> None:
    api.dataset("single", {"sub/a.png": picture(4)})
    url = f"/datasets/{OWNER}/single/items/"
    listed = api.get(url).json()["results"][0]
    item = api.get(f"{url}{listed['uid']}/").raise_for_status().json()
    assert item["key"] == "sub/a.png"
    union = {
        "id",
        "uid",
        "url",
        "data_url",
        "thumbnail_url",
        "thumbnails",
        "metadata",
        "annotations",
        "is_hidden",
        "dataset_slug",
        "dataset_owner_name",
        "export_snippet",
        "crop_data",
        "related_items",
        "created_at",
        "annotations_count",
        "status",
        "gpu_texture_url",
        "video_thumbnail",
        "related_sequence_uid",
    }
    assert union <= item.keys()
    assert api.get(f"{url}{uuid.uuid4()}/").status_code == 404
    image = api.storage.get(item["thumbnails"][0])
    assert image.headers["Content-Type"] == "image/png"
    assert api.storage.get(item["url"], headers={"X-Avala-Api-Key": "k"}).status_code == 400
    assert api.storage.get(item["url"].split("?")[0]).status_code == 403


def test_dataset_scopes(api: Api) -> None:
    other = api.as_key("avk_scoped", scopes=["projects.read"])
    for path in ("/datasets/", f"/datasets/{OWNER}/list/", f"/datasets/{OWNER}/x/", f"/datasets/{OWNER}/x/items/"):
        answer = other.get(path)
        assert (answer.status_code, answer.json()["code"]) == (403, "scope_required")
