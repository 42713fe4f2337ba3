"""The state-changing calls: one request each, with exactly the documented body."""

import httpx
import orjson
import pytest
import respx
from pydantic import SecretStr

from alaas_pipeline.avala.errors import (
    NameTaken,
    QuotaExceeded,
    ServerError,
    StorageRefused,
    UnexpectedAnswer,
    ValidationFailed,
)
from alaas_pipeline.avala.models import FormPost, Multipart, Put, StoredPart
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline.errors import UserError

UID = "6f1c0d3e-74a7-4c1e-9a44-0b6d2f0f9c11"
BATCH = "22222222-2222-4222-8222-222222222222"
STORE = "https://bucket.s3.amazonaws.com"
PRESIGN = "/datasets/manual-upload/file-upload-url/"


def body_of(route: respx.Route) -> object:
    return orjson.loads(route.calls.last.request.content)


def test_presign_sends_size_protocol_and_batch(api: respx.MockRouter, writes: AvalaWrites) -> None:
    answer = {"method": "PUT", "upload_uid": UID, "url": f"{STORE}/a?sig=1", "headers": {"x-a": "1"}}
    route = api.post(PRESIGN).respond(json=answer)
    slot = writes.presign("cats", "a.jpg", 123, BATCH)
    assert isinstance(slot, Put)
    expected = {
        "dataset_name": "cats",
        "file_path_in_dataset": "a.jpg",
        "content_length": 123,
        "upload_protocol_version": 2,
        "dataset_upload_uid": BATCH,
    }
    assert body_of(route) == expected
    writes.presign("cats", "a.jpg", 123, BATCH, organization_uid=UID)
    assert body_of(route) == expected | {"organization_uid": UID}


def test_presign_refuses_a_slot_of_no_known_kind_without_showing_it(api: respx.MockRouter, writes: AvalaWrites) -> None:
    api.post(PRESIGN).respond(json={"method": "PUT", "url": f"{STORE}/a?sig=CANARY"})
    with pytest.raises(UnexpectedAnswer, match="upload slot") as caught:
        writes.presign("cats", "a.jpg", 1, BATCH)
    assert "CANARY" not in f"{caught.value}"
    assert caught.value.__context__ is None


def test_presign_tells_a_full_quota(api: respx.MockRouter, writes: AvalaWrites) -> None:
    api.post(PRESIGN).respond(413, json={"detail": "Quota.", "limit": 10, "used": 9})
    with pytest.raises(QuotaExceeded) as caught:
        writes.presign("cats", "a.jpg", 5, BATCH)
    assert (caught.value.limit, caught.value.used) == (10, 9)


def test_a_form_is_posted_in_order_with_the_file_last_and_without_the_key(
    api: respx.MockRouter, writes: AvalaWrites
) -> None:
    route = api.post(f"{STORE}/").respond(204)
    fields = {"key": "k", "Content-Type": "image/x-own", "policy": "p", "x-amz-signature": "s"}
    slot = FormPost.model_validate({"url": f"{STORE}/", "fields": fields})
    writes.send_file(slot, b"\x00JPEG\xff", "a b.jpg", "image/jpeg")
    sent = route.calls.last.request
    content = sent.content
    positions = [content.index(f'name="{name}"'.encode()) for name in (*fields, "file")]
    assert positions == sorted(positions)
    assert b'filename="a b.jpg"\r\nContent-Type: image/x-own\r\n\r\n\x00JPEG\xff\r\n' in content
    assert "x-avala-api-key" not in sent.headers


@pytest.mark.parametrize("status", [200, 201, 204, 412])
def test_a_put_sends_the_raw_bytes_with_its_headers_only(
    api: respx.MockRouter, writes: AvalaWrites, status: int
) -> None:
    route = api.put(f"{STORE}/a").respond(status)
    headers = {"Content-Type": "image/png", "If-None-Match": "*", "Host": "evil.test", "X-Avala-Api-Key": "x"}
    slot = Put.model_validate({"upload_uid": UID, "url": f"{STORE}/a?sig=1", "headers": headers})
    writes.send_file(slot, b"bytes", "a.png", "image/png")
    sent = route.calls.last.request
    assert sent.content == b"bytes"
    assert sent.headers["Content-Length"] == "5"
    assert sent.headers["If-None-Match"] == "*"
    assert sent.headers["Host"] == "bucket.s3.amazonaws.com"
    assert "x-avala-api-key" not in sent.headers


def test_what_is_stored_already_is_not_sent_again(api: respx.MockRouter, writes: AvalaWrites) -> None:
    writes.send_file(Put(upload_uid=UID, complete=True), b"x", "a", "image/png")
    writes.send_file(Multipart(upload_uid=UID, part_size=5 << 20, part_count=1, complete=True), b"x", "a", "image/png")
    assert api.calls.call_count == 0


def test_a_put_is_repeated_but_a_form_is_not(api: respx.MockRouter, writes: AvalaWrites) -> None:
    put = api.put(f"{STORE}/a").mock(side_effect=[httpx.Response(503), httpx.ReadTimeout("x"), httpx.Response(200)])
    writes.send_file(Put(upload_uid=UID, url=SecretStr(f"{STORE}/a")), b"x", "a", "image/png")
    assert put.call_count == 3
    form = api.post(f"{STORE}/").mock(side_effect=[httpx.ConnectError("x"), httpx.Response(503)])
    with pytest.raises(ServerError):
        writes.send_file(FormPost(url=SecretStr(f"{STORE}/")), b"x", "a", "image/png")
    assert form.call_count == 2


def test_storage_refusals_tell_the_code_and_nothing_signed(api: respx.MockRouter, writes: AvalaWrites) -> None:
    xml = "<Error><Code>AccessDenied</Code><StringToSign>CANARY1</StringToSign></Error>"
    api.put(f"{STORE}/a").respond(403, text=xml)
    with pytest.raises(StorageRefused, match="AccessDenied") as caught:
        writes.send_file(Put(upload_uid=UID, url=SecretStr(f"{STORE}/a?sig=CANARY2")), b"x", "a", "image/png")
    assert "CANARY" not in f"{caught.value} {vars(caught.value)}"
    assert caught.value.status == 403


@pytest.mark.parametrize("status", [301, 303, 307])
def test_storage_redirects_are_not_followed(api: respx.MockRouter, writes: AvalaWrites, status: int) -> None:
    api.put(f"{STORE}/a").respond(status, headers={"Location": "https://evil.test/"})
    with pytest.raises(UnexpectedAnswer, match="redirect"):
        writes.send_file(Put(upload_uid=UID, url=SecretStr(f"{STORE}/a")), b"x", "a", "image/png")
    assert api.calls.call_count == 1


@pytest.mark.parametrize("url", ["https://evil.test/a", "http://bucket.s3.amazonaws.com/a", "http://127.0.0.1/a"])
def test_slots_elsewhere_are_not_used(api: respx.MockRouter, writes: AvalaWrites, url: str) -> None:
    for slot in (Put(upload_uid=UID, url=SecretStr(url)), FormPost(url=SecretStr(url))):
        with pytest.raises(UnexpectedAnswer, match="was not used"):
            writes.send_file(slot, b"x", "a", "image/png")
    assert api.calls.call_count == 0


def test_parts_that_are_missing_are_sent(api: respx.MockRouter, writes: AvalaWrites) -> None:
    size = 5 << 20
    data = bytes(size) + b"1" * size + b"2" * 10
    asked = api.post(f"/datasets/manual-upload/uploads/{UID}/parts/").mock(
        side_effect=lambda request: httpx.Response(
            200,
            json={
                "parts": [
                    {"part_number": number, "url": f"{STORE}/p{number}?sig=1", "headers": {"x-p": number}}
                    for number in orjson.loads(request.content)["part_numbers"]
                ]
            },
        )
    )
    second, third = api.put(f"{STORE}/p2").respond(200), api.put(f"{STORE}/p3").respond(200)
    stored = [StoredPart(part_number=1, size=size), StoredPart(part_number=3, size=9)]
    slot = Multipart(upload_uid=UID, part_size=size, part_count=3, uploaded_parts=stored)
    writes.send_file(slot, data, "a.png", "image/png")
    assert asked.call_count == 2
    assert second.calls.last.request.content == b"1" * size
    assert third.calls.last.request.content == b"2" * 10
    assert third.calls.last.request.headers["x-p"] == "3"


def test_odd_parts_are_refused(api: respx.MockRouter, writes: AvalaWrites) -> None:
    slot = Multipart(upload_uid=UID, part_size=5 << 20, part_count=2)
    with pytest.raises(UnexpectedAnswer, match="come out even"):
        writes.send_file(slot, b"small", "a", "image/png")
    api.post(f"/datasets/manual-upload/uploads/{UID}/parts/").respond(json={"parts": [{"part_number": 9}]})
    with pytest.raises(UnexpectedAnswer, match="part 1"):
        writes.send_file(slot.model_copy(update={"part_count": 1}), b"small", "a", "image/png")


@pytest.mark.parametrize("answer", [httpx.Response(204), httpx.Response(200, json={"anything": 1})])
def test_completion(api: respx.MockRouter, writes: AvalaWrites, answer: httpx.Response) -> None:
    route = api.post(f"/datasets/manual-upload/uploads/{UID}/complete/").mock(return_value=answer)
    writes.complete_upload(UID)
    assert body_of(route) == {}


def test_finalise(api: respx.MockRouter, writes: AvalaWrites) -> None:
    route = api.post("/datasets/manual-upload/").respond(201, json={"uid": UID, "status": "creating"})
    assert writes.finalise("cats", "cats-1", "image", BATCH).state == "creating"
    expected = {
        "name": "cats",
        "slug": "cats-1",
        "data_type": "image",
        "visibility": "private",
        "create_metadata": True,
        "dataset_upload_uid": BATCH,
    }
    assert body_of(route) == expected
    writes.finalise("cats", "cats-1", "image", BATCH, "acme", {"round": "r1"}, organization_uid=UID)
    assert body_of(route) == expected | {
        "owner_name": "acme",
        "metadata": {"round": "r1"},
        "organization_uid": UID,
    }


def test_clone_always_says_who_may_see_the_images(api: respx.MockRouter, writes: AvalaWrites) -> None:
    route = api.post("/projects/create-from-existing/").respond(201, json={"uid": UID, "status": "pending-approval"})
    assert writes.clone("t1", "cats r1", "d1").status == "pending-approval"
    assert body_of(route) == {
        "source_project_uid": "t1",
        "name": "cats r1",
        "image_dataset_uid": "d1",
        "copy_collaborators": False,
    }


@pytest.mark.parametrize(
    ("status", "body"),
    [(400, {"name": ["project with this name already exists."]}), (409, {"detail": "Duplicate."})],
)
def test_clone_tells_a_taken_name(
    api: respx.MockRouter, writes: AvalaWrites, status: int, body: dict[str, object]
) -> None:
    api.post("/projects/create-from-existing/").respond(status, json=body)
    with pytest.raises(NameTaken):
        writes.clone("t1", "cats r1", "d1")


@pytest.mark.parametrize("name", ["", "x" * 101])
def test_clone_refuses_names_that_cannot_be(api: respx.MockRouter, writes: AvalaWrites, name: str) -> None:
    with pytest.raises(UserError, match="1 to 100"):
        writes.clone("t1", name, "d1")
    assert api.calls.call_count == 0


def test_a_clone_without_a_uid_may_have_taken_effect(api: respx.MockRouter, writes: AvalaWrites) -> None:
    api.post("/projects/create-from-existing/").respond(201, json={"name": "cats r1"})
    with pytest.raises(UnexpectedAnswer) as caught:
        writes.clone("t1", "cats r1", "d1")
    assert caught.value.may_have_taken_effect


def test_approve_sends_no_body_and_only_once(api: respx.MockRouter, writes: AvalaWrites) -> None:
    route = api.post(f"/projects/{UID}/approve/").mock(
        side_effect=[httpx.Response(200, json={"uid": UID, "status": "active"}), httpx.Response(503)]
    )
    assert writes.approve(UID).status == "active"
    assert route.calls.last.request.content == b""
    with pytest.raises(ServerError):
        writes.approve(UID)
    assert route.call_count == 2


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "archive"])
def test_status_changes(api: respx.MockRouter, writes: AvalaWrites, action: str) -> None:
    route = api.post(f"/projects/{UID}/{action}/").respond(json={"uid": UID, "status": "x"})
    writes.change_status(UID, action)  # pyright: ignore[reportArgumentType]
    assert route.call_count == 1


FULL = {"name": "r1", "format": "avala-json-external", "datasets": [], "projects": [UID], "slices": []}


def test_an_export_is_asked_for_with_the_documented_body(api: respx.MockRouter, writes: AvalaWrites) -> None:
    route = api.post("/exports/").respond(201, json={"uid": "e1", "status": "requested", "name": "r1"})
    assert writes.create_export("r1", UID).state == "running"
    assert [orjson.loads(call.request.content) for call in route.calls] == [FULL]


def test_an_export_of_a_dataset_is_asked_for_in_the_same_way(api: respx.MockRouter, writes: AvalaWrites) -> None:
    refusal = httpx.Response(400, json={"slices": ["Unknown field."]})
    route = api.post("/exports/").mock(side_effect=[refusal, httpx.Response(201, json={"uid": "e1"})])
    assert writes.create_dataset_export("r1", UID).uid == "e1"
    sent = [orjson.loads(call.request.content) for call in route.calls]
    assert sent == [FULL | {"projects": [], "datasets": [UID]}, {"dataset": UID}]


@pytest.mark.parametrize(
    "refusal",
    [
        {"project": ["This field is required."]},
        {"detail": {"projects": ["Unknown field."]}},
        {"detail": "Unexpected field 'slices'."},
        {"non_field_errors": ["project or dataset is required"]},
    ],
)
def test_the_shorter_body_follows_once_when_fields_are_wrong(
    api: respx.MockRouter, writes: AvalaWrites, refusal: dict[str, object]
) -> None:
    route = api.post("/exports/").mock(
        side_effect=[
            httpx.Response(400, json=refusal),
            httpx.Response(201, json={"uid": "e1", "project": UID}),
        ]
    )
    assert writes.create_export("r1", UID).projects == [UID]
    assert [orjson.loads(call.request.content) for call in route.calls] == [FULL, {"project": UID}]


def test_two_refused_bodies_end_there(api: respx.MockRouter, writes: AvalaWrites) -> None:
    route = api.post("/exports/").respond(400, json={"project": ["This field is required."]})
    with pytest.raises(ValidationFailed):
        writes.create_export("r1", UID)
    assert route.call_count == 2


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (400, {"projects": ["Project is not finished."]}),
        (400, {"name": ["Export with this name already exists."]}),
        (422, {"project": ["This field is required."]}),
        (500, {"project": ["This field is required."]}),
    ],
)
def test_other_refusals_are_not_answered_with_a_second_export(
    api: respx.MockRouter, writes: AvalaWrites, status: int, body: dict[str, object]
) -> None:
    route = api.post("/exports/").respond(status, json=body)
    with pytest.raises((ValidationFailed, ServerError)):
        writes.create_export("r1", UID)
    assert route.call_count == 1


@pytest.mark.parametrize("field", ["image_dataset_uid", "lidar_dataset_uid", "slice_uid"])
def test_a_clone_labels_images_point_clouds_or_a_slice_and_shares_with_nobody(
    api: respx.MockRouter, writes: AvalaWrites, field: str
) -> None:
    route = api.post("/projects/create-from-existing/").respond(201, json={"uid": UID})
    writes.clone(BATCH, "r1", **{field: UID})  # type: ignore[arg-type]
    assert body_of(route) == {"source_project_uid": BATCH, "name": "r1", field: UID, "copy_collaborators": False}


def test_a_clone_of_nothing_is_not_sent(api: respx.MockRouter, writes: AvalaWrites) -> None:
    with pytest.raises(UserError, match="needs something to label: image_dataset_uid, lidar_dataset_uid, slice_uid"):
        writes.clone(BATCH, "r1")


def test_an_invitation(api: respx.MockRouter, writes: AvalaWrites) -> None:
    route = api.post("/organizations/acme/invitations/").respond(201, json={"uid": UID})
    writes.invite("acme", "ada@acme.test", "member")
    assert body_of(route) == {"email": "ada@acme.test", "role": "member"}
