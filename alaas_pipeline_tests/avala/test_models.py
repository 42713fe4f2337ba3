"""Answers in every published spelling."""

import pytest
from pydantic import ValidationError

from alaas_pipeline.avala.models import (
    Dataset,
    Export,
    FormPost,
    Item,
    Multipart,
    Progress,
    Project,
    Put,
    Task,
    User,
    read_presigned,
)

UID = "6f1c0d3e-74a7-4c1e-9a44-0b6d2f0f9c11"
LINK = "https://b.s3.amazonaws.com/a?X-Amz-Signature=CANARY"


@pytest.mark.parametrize(
    ("raw", "status", "known"),
    [
        ("pending-approval", "pending-approval", True),
        ("PENDING_APPROVAL", "pending-approval", True),
        ("Pending Approval", "pending-approval", True),
        ("ACTIVE", "active", True),
        ("CANCELLED", "canceled", True),
        ("canceled", "canceled", True),
        ("DRAFT", "draft", True),
        ("on-fire", "on-fire", False),
        (None, "", False),
    ],
)
def test_project_statuses_are_normalised(raw: str | None, status: str, known: bool) -> None:
    project = Project.model_validate({"uid": UID, "status": raw, "new_field": 1})
    assert (project.status, project.status_known) == (status, known)


@pytest.mark.parametrize(
    ("raw", "state"),
    [
        ("created", "created"),
        ("CREATED", "created"),
        ("creating", "creating"),
        ("indexing", "creating"),
        ("failed", "failed"),
        ("CREATION_FAILED", "failed"),
        ("error", "failed"),
        (None, "creating"),
    ],
)
def test_dataset_states(raw: str | None, state: str) -> None:
    assert Dataset.model_validate({"uid": UID, "status": raw, "item_count": None}).state == state


def test_the_owner_is_read_from_either_field() -> None:
    assert Dataset.model_validate({"uid": UID, "owner": "acme"}).owner_name == "acme"
    assert Project.model_validate({"uid": UID, "owner": "x", "owner_name": "acme"}).owner_name == "acme"


def test_items_take_the_first_link_and_only_sane_sizes() -> None:
    item = Item.model_validate(
        {
            "uid": UID,
            "key": "a/b/c.jpg",
            "url": "",
            "data_url": LINK,
            "metadata": {"width": 640, "height": -1},
        }
    )
    assert item.url is not None
    assert item.url.get_secret_value() == LINK
    assert (item.file_name, item.width, item.height) == ("c.jpg", 640, None)
    assert Item.model_validate({"uid": UID, "metadata": None}).url is None


@pytest.mark.parametrize(
    ("word", "state"),
    [
        ("exported", "success"),
        ("COMPLETED", "success"),
        ("failed", "failure"),
        ("error", "failure"),
        ("cancelled", "failure"),
        ("canceled", "failure"),
        ("expired", "failure"),
        ("requested", "running"),
        ("pending", "running"),
        ("processing", "running"),
        ("something-new", "running"),
        (None, "running"),
    ],
)
def test_export_states(word: str | None, state: str) -> None:
    assert Export.model_validate({"uid": UID, "status": word}).state == state


def test_exports_know_their_projects_in_every_shape_and_whether_they_are_partial() -> None:
    assert Export.model_validate({"uid": UID, "projects": ["a", {"uid": "b"}]}).projects == ["a", "b"]
    assert Export.model_validate({"uid": UID, "project": "a", "projects": []}).projects == []
    assert Export.model_validate({"uid": UID, "project": {"uid": "a"}}).projects == ["a"]
    partial = {"uid": UID, "total_task_count": 3, "exported_task_count": 2, "download_url": ""}
    assert Export.model_validate(partial).partial
    assert Export.model_validate(partial).download_url is None
    assert not Export.model_validate({"uid": UID, "total_task_count": None}).partial


def test_a_task_names_its_project_plainly_or_as_an_object() -> None:
    assert Task.model_validate({"uid": UID, "project": {"uid": "p"}, "status": "IN_PROGRESS"}).project == "p"
    assert Task.model_validate({"uid": UID, "project": None}).project == ""


def test_progress_is_done_only_with_tasks() -> None:
    assert [Progress(0, 0).done, Progress(3, 2).done, Progress(3, 3).done] == [False, False, True]


@pytest.mark.parametrize("payload", [{}, {"uid": None}, {"uid": ""}, [], None, "x"])
def test_no_uid_no_object(payload: object) -> None:
    with pytest.raises(ValidationError):
        User.model_validate(payload)


def test_upload_slots_of_all_kinds() -> None:
    form = read_presigned({"url": LINK, "fields": {"key": "k", "policy": "CANARY"}})
    assert isinstance(form, FormPost)
    assert list(form.fields) == ["key", "policy"]
    assert isinstance(read_presigned({"method": "post", "url": LINK, "fields": {}}), FormPost)
    assert isinstance(read_presigned({"method": "PUT", "upload_uid": UID, "url": LINK}), Put)
    assert isinstance(read_presigned({"method": "PUT", "upload_uid": UID, "complete": True}), Put)
    parts = {"method": "MULTIPART", "upload_uid": UID, "part_size": 5 << 20, "part_count": 2}
    assert isinstance(read_presigned(parts), Multipart)


@pytest.mark.parametrize(
    "payload",
    [
        None,
        [],
        {},
        {"method": "PATCH", "url": LINK},
        {"method": "PUT", "upload_uid": UID},
        {"method": "PUT", "url": LINK},
        {"method": "MULTIPART", "upload_uid": UID, "part_size": 1024, "part_count": 1},
        {"method": "MULTIPART", "upload_uid": UID, "part_size": 129 << 20, "part_count": 1},
        {"method": "MULTIPART", "upload_uid": UID, "part_size": 5 << 20, "part_count": 10_001},
    ],
)
def test_other_upload_slots_are_refused_without_repeating_them(payload: object) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011
        read_presigned(payload)
    assert "CANARY" not in str(caught.value)


def test_no_repr_shows_a_link() -> None:
    shown = [
        Item.model_validate({"uid": UID, "url": LINK}),
        Export.model_validate({"uid": UID, "download_url": LINK}),
        read_presigned({"url": LINK, "fields": {"policy": "CANARY"}}),
        read_presigned({"method": "PUT", "upload_uid": UID, "url": LINK, "headers": {"x": "CANARY"}}),
    ]
    assert all("CANARY" not in f"{one!r} {one} {one.model_dump()} {one.model_dump_json()}" for one in shown)
