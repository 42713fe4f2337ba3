import hashlib
import uuid
from typing import Any

import httpx
import pytest

from alaas_pipeline_tests.sandbox.api import Api, picture
from alaas_pipeline_tests.sandbox.conftest import Serve

PRESIGN = "/datasets/manual-upload/file-upload-url/"
MIB = 1024 * 1024


def items(api: Api, slug: str) -> dict[str, dict[str, Any]]:
    found = api.get(f"/datasets/sandbox-team/{slug}/items/").raise_for_status().json()["results"]
    return {item["key"]: item for item in found}


def test_put_upload(api: Api) -> None:
    data = picture(1)
    slot = api.presign("put", "a b.png", data)
    assert slot["method"] == "PUT"
    assert slot["complete"] is False
    assert str(uuid.UUID(slot["upload_uid"])) == slot["upload_uid"]
    early = api.complete(slot["upload_uid"])
    assert (early.status_code, early.json()) == (400, {"detail": "The file has not been received yet."})
    sent = api.storage.put(slot["url"], content=data, headers=slot["headers"])
    assert sent.status_code == 200
    assert sent.headers["ETag"] == f'"{hashlib.md5(data).hexdigest()}"'
    assert api.storage.put(slot["url"], content=data, headers=slot["headers"]).status_code == 412
    assert [api.complete(slot["upload_uid"]).status_code for _ in range(2)] == [200, 200]
    assert api.dataset("put", {})["item_count"] == 1
    item = items(api, "put")["a b.png"]
    assert api.storage.get(item["url"]).content == data
    assert item["metadata"] == {"width": 8, "height": 6, "format": "png"}


def test_form_upload_is_the_default_without_a_protocol_version(api: Api) -> None:
    data = picture(2, "JPEG")
    body = {"dataset_name": "form", "file_path_in_dataset": "Grüße 1.jpg"}
    slot = api.post(PRESIGN, json=body).raise_for_status().json()
    assert slot["method"] == "POST"
    assert slot["fields"]["Content-Type"] == "image/jpeg"
    sent = api.storage.post(slot["url"], data=slot["fields"], files={"file": ("x.jpg", data)})
    assert sent.status_code == 204
    assert api.dataset("form", {})["item_count"] == 1
    assert api.storage.get(items(api, "form")["Grüße 1.jpg"]["data_url"]).content == data


def test_the_forms_file_must_be_last_and_its_fields_untouched(api: Api) -> None:
    data = picture(3)
    slot = api.presign("forms", "a.png", data, upload_protocol_version=None)
    assert "fields" in slot

    def send(*parts: tuple[str, Any]) -> tuple[int, str]:
        answer = api.storage.post(slot["url"], files=list(parts))
        return answer.status_code, answer.text

    fields = [(name, (None, value)) for name, value in slot["fields"].items()]
    file = ("file", ("a.png", data))
    assert "last" in send(file, *fields)[1]
    assert send(*fields)[0] == 400
    assert send(*[f for f in fields if f[0] != "x-amz-signature"], file)[0] == 403
    assert "key differs" in send(*[f for f in fields if f[0] != "key"], ("key", (None, "other")), file)[1]
    assert "size" in send(*fields, ("file", ("a.png", data + b"x")))[1]
    assert api.storage.post(slot["url"], content=b"--", headers={"Content-Type": "text/plain"}).status_code == 400
    assert send(*fields, file)[0] == 204


def test_multipart_upload(serve: Serve) -> None:
    api = serve(upload_method="multipart")
    data = bytes(range(256)) * (4 * 1024 * 11)
    batch = str(uuid.uuid4())
    slot = api.presign("lidar", "cloud.pcd", data, dataset_upload_uid=batch)
    assert slot["method"] == "MULTIPART"
    assert slot["part_size"] == 5 * MIB
    assert slot["part_count"] == 3
    assert slot["uploaded_parts"] == []
    parts = f"/datasets/manual-upload/uploads/{slot['upload_uid']}/parts/"
    assert api.post(parts, json={"part_numbers": [4]}).status_code == 400
    assert api.post(parts, json={"part_numbers": []}).status_code == 400
    urls = api.post(parts, json={"part_numbers": [3, 1, 2]}).raise_for_status().json()["parts"]
    for part in urls[:2]:
        start = (part["part_number"] - 1) * slot["part_size"]
        sent = api.storage.put(part["url"], content=data[start : start + slot["part_size"]])
        assert sent.status_code == 200
    assert api.complete(slot["upload_uid"]).status_code == 400
    resumed = api.presign("lidar", "cloud.pcd", data, dataset_upload_uid=batch)
    assert resumed["upload_uid"] == slot["upload_uid"]
    assert [part["part_number"] for part in resumed["uploaded_parts"]] == [1, 3]
    assert api.storage.put(urls[2]["url"], content=b"short").status_code == 400
    second = data[slot["part_size"] : 2 * slot["part_size"]]
    assert api.storage.put(urls[2]["url"], content=second).status_code == 200
    assert [api.complete(slot["upload_uid"]).status_code for _ in range(2)] == [200, 200]
    assert api.presign("lidar", "cloud.pcd", data, dataset_upload_uid=batch)["complete"] is True
    api.finalise("lidar", data_type="lidar").raise_for_status()
    while api.get("/datasets/sandbox-team/lidar/").json()["status"] != "created":
        pass
    assert api.storage.get(items(api, "lidar")["cloud.pcd"]["url"]).content == data


def test_multipart_needs_a_size(serve: Serve) -> None:
    api = serve(upload_method="multipart")
    answer = api.post(PRESIGN, json={"dataset_name": "m", "file_path_in_dataset": "a.png"})
    assert (answer.status_code, answer.json()) == (400, {"content_length": ["This field is required."]})
    put = api.presign("m", "a.png", b"")
    assert put["method"] == "PUT"


def test_parts_and_complete_know_their_owner(api: Api) -> None:
    slot = api.presign("mine", "a.png", b"123")
    other = api.as_key("avk_other", username="other")
    assert other.complete(slot["upload_uid"]).status_code == 404
    assert api.complete(str(uuid.uuid4())).status_code == 404
    answer = api.post(f"/datasets/manual-upload/uploads/{slot['upload_uid']}/parts/", json={"part_numbers": [1]})
    assert answer.status_code == 400


def test_the_same_batch_and_path_resume(api: Api) -> None:
    data, batch = picture(5), str(uuid.uuid4())
    first = api.presign("resume", "a.png", data, dataset_upload_uid=batch)
    second = api.presign("resume", "a.png", data, dataset_upload_uid=batch)
    other = api.presign("resume", "a.png", data)
    assert first["upload_uid"] == second["upload_uid"] != other["upload_uid"]
    changed = api.post(
        PRESIGN,
        json={
            "dataset_name": "resume",
            "file_path_in_dataset": "a.png",
            "content_length": 1,
            "upload_protocol_version": 2,
            "dataset_upload_uid": batch,
        },
    )
    assert changed.status_code == 400
    api.storage.put(first["url"], content=data, headers=first["headers"]).raise_for_status()
    assert api.presign("resume", "a.png", data, dataset_upload_uid=batch)["complete"] is True


@pytest.mark.parametrize("path", ["/a.png", "a//b.png", "../a.png", "a/./b.png", "a\\b.png", "", "a\n.png", "x" * 1025])
def test_unsafe_paths_are_refused(api: Api, path: str) -> None:
    answer = api.post(PRESIGN, json={"dataset_name": "d", "file_path_in_dataset": path})
    assert answer.status_code == 400
    assert list(answer.json()) == ["file_path_in_dataset"]


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ({}, {"dataset_name": ["This field is required."], "file_path_in_dataset": ["This field is required."]}),
        ([], {"non_field_errors": ["Invalid data. Expected a dictionary."]}),
        (
            {"dataset_name": " ", "file_path_in_dataset": 3, "content_length": "many"},
            {
                "dataset_name": ["This field may not be blank."],
                "file_path_in_dataset": ["Not a valid string."],
                "content_length": ["A valid integer is required."],
            },
        ),
        (
            {"dataset_name": "a/b", "file_path_in_dataset": "a", "organization_uid": "no"},
            {
                "dataset_name": ["This name may not contain a slash."],
                "organization_uid": ["Must be a valid UUID."],
            },
        ),
        (
            {"dataset_name": None, "file_path_in_dataset": "a", "content_length": -1},
            {
                "dataset_name": ["This field may not be null."],
                "content_length": ["Ensure this value is greater than or equal to 0."],
            },
        ),
    ],
)
def test_field_errors_are_at_the_top_level(api: Api, body: Any, wanted: dict[str, list[str]]) -> None:
    answer = api.post(PRESIGN, json=body)
    assert (answer.status_code, answer.json()) == (400, wanted)


def test_a_broken_or_missing_body_is_a_400(api: Api) -> None:
    broken = api.post(PRESIGN, content=b'{"a":', headers={"Content-Type": "application/json"})
    assert broken.status_code == 400
    assert broken.json()["detail"].startswith("JSON parse error")
    assert api.post(PRESIGN).status_code == 400


def test_half_a_character_is_refused(api: Api) -> None:
    body = b'{"name": "x", "slug": "x", "data_type": "\\ud800"}'
    answer = api.post("/datasets/manual-upload/", content=body, headers={"Content-Type": "application/json"})
    assert (answer.status_code, answer.json()) == (400, {"non_field_errors": ["Text must be valid Unicode."]})


def test_the_quota_counts_reservations_and_refuses_with_numbers(serve: Serve) -> None:
    api = serve(quota_bytes=1000)
    data = picture(1)
    api.upload("q", {"a.png": data})
    api.presign("q", "b.png", b"x" * 500)
    used = len(data) + 500
    assert api.get("/datasets/manual-upload/quota/").json() == {"used": used, "limit": 1000}
    answer = api.post(PRESIGN, json={"dataset_name": "q", "file_path_in_dataset": "c", "content_length": 500})
    assert answer.status_code == 413
    assert answer.json() == {"detail": "Upload quota exceeded.", "limit": 1000, "used": used}


def test_an_organization_has_its_own_prefix_and_quota(api: Api) -> None:
    organization = api.get("/organizations/").json()["results"][0]
    data = picture(6)
    slot = api.presign("of-org", "a.png", data, organization_uid=organization["uid"])
    api.storage.put(slot["url"], content=data, headers=slot["headers"]).raise_for_status()
    assert api.get("/datasets/manual-upload/quota/", params={"organization_uid": organization["uid"]}).json()[
        "used"
    ] == len(data)
    # Without the organization, the files are not under the prefix.
    assert api.finalise("of-org", slug="elsewhere").json()["owner_name"] == "sandbox-team"
    made = api.finalise("of-org", organization_uid=organization["uid"]).raise_for_status().json()
    assert made["owner_name"] == organization["slug"]
    api.get(f"/datasets/{made['uid']}/")
    assert api.get(f"/datasets/{made['uid']}/").json()["item_count"] == 1
    unknown = api.finalise("of-org", slug="third", organization_uid=str(uuid.uuid4()))
    assert (unknown.status_code, unknown.json()) == (400, {"organization_uid": ["Organization not found."]})


def test_allowed_mimes(api: Api) -> None:
    answer = api.get("/datasets/manual-upload/allowed-mimes/").json()
    assert {"image/jpeg", "image/png", "image/webp", "image/bmp", "image/tiff"} <= set(answer["mime_types"])
    assert answer["video_prefix"] == "video/"


def test_upload_scopes(api: Api) -> None:
    reader = api.as_key("avk_reader", scopes=["datasets.read"])
    answer = reader.post(PRESIGN, json={"dataset_name": "d", "file_path_in_dataset": "a"})
    assert answer.status_code == 403
    assert answer.json() == {
        "detail": "API key is missing the required scope: datasets.write.",
        "code": "scope_required",
        "doc_url": "https://docs.avala.ai/api/errors#scope_required",
    }
    assert reader.get("/datasets/manual-upload/quota/").status_code == 200
    assert reader.finalise("d").status_code == 403


def test_storage_refuses_keys_and_tampering(serve: Serve) -> None:
    api = serve()
    data = picture(9)
    slot = api.presign("tamper", "a.png", data)
    url, headers = slot["url"], slot["headers"]

    def code(answer: httpx.Response) -> tuple[int, bool]:
        assert answer.headers["Content-Type"] == "application/xml"
        return answer.status_code, "<Error><Code>" in answer.text

    put = api.storage.put
    assert code(put(url, content=data, headers={**headers, "X-Avala-Api-Key": "k"})) == (400, True)
    assert code(put(url, content=data, headers={**headers, "Authorization": "Bearer k"})) == (400, True)
    assert code(put(url.split("?")[0], content=data, headers=headers)) == (403, True)
    assert code(put(url[:-1] + ("0" if url[-1] != "0" else "1"), content=data, headers=headers)) == (403, True)
    assert code(put(url.replace("Expires=1", "Expires=2"), content=data, headers=headers)) == (403, True)
    assert code(put(url, content=data, headers={"Content-Type": "text/plain"})) == (403, True)
    other = api.presign("tamper", "b.png", data)
    swapped = url.replace(slot["upload_uid"], other["upload_uid"])
    assert code(put(swapped, content=data, headers=headers)) == (403, True)
    assert code(put(url, content=data[:-1], headers=headers)) == (400, True)
    assert code(put(url, content=data + b"x", headers=headers)) == (400, True)
    assert put(url, content=data, headers=headers).status_code == 200


def test_upload_urls_expire(serve: Serve) -> None:
    api = serve(url_lifetime_s=0)
    data = picture(1)
    slot = api.presign("late", "a.png", data)
    late = api.storage.put(slot["url"], content=data, headers=slot["headers"])
    assert late.status_code == 403
    assert "expired" in late.text
    form = api.presign("late", "b.png", data, upload_protocol_version=None)
    answer = api.storage.post(form["url"], data=form["fields"], files={"file": ("b.png", data)})
    assert answer.status_code == 403
    assert "expired" in answer.text
