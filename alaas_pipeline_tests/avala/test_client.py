"""The reading calls: their routes, fall-backs and what they make of odd answers."""

import httpx
import pytest
import respx

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import Forbidden, NotFound, UnexpectedAnswer
from alaas_pipeline.errors import UserError

UID = "6f1c0d3e-74a7-4c1e-9a44-0b6d2f0f9c11"


def page(*entries: dict[str, object]) -> dict[str, object]:
    return {"results": list(entries), "next": None}


def test_a_dataset_by_its_address(api: respx.MockRouter, client: AvalaClient) -> None:
    route = api.get("/datasets/dev%40acme.com/cats/").respond(json={"uid": UID, "status": "created"})
    found = client.find_dataset("dev@acme.com", "cats")
    assert found is not None
    assert found.state == "created"
    assert route.calls.last.request.url.raw_path.endswith(b"/datasets/dev%40acme.com/cats/")


def test_a_missing_dataset_is_none_but_a_forbidden_one_is_not(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/datasets/acme/cats/").mock(
        side_effect=[
            httpx.Response(404, json={"detail": "Not found."}),
            httpx.Response(403, json={"detail": "No."}),
        ]
    )
    assert client.find_dataset("acme", "cats") is None
    with pytest.raises(Forbidden):
        client.find_dataset("acme", "cats")


def test_dataset_health_and_items(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/datasets/acme/cats/health/").respond(json={"ingest_ok": False, "issues": ["bad"]})
    assert client.dataset_health("acme", "cats")["issues"] == ["bad"]
    api.get("/datasets/acme/cats/items/", params={"cursor": "2"}).respond(
        json=page({"uid": "b", "key": "b.jpg"}, {"uid": "c", "key": "c.jpg"})
    )
    first = page({"uid": "a", "key": "a.jpg"}, {"uid": "b", "key": "b.jpg"}) | {"next": "?cursor=2"}
    api.get("/datasets/acme/cats/items/").respond(json=first)
    assert [item.key for item in client.dataset_items("acme", "cats")] == ["a.jpg", "b.jpg", "c.jpg"]


def test_health_that_is_no_object_is_refused(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/datasets/acme/cats/health/").respond(json=["x"])
    with pytest.raises(UnexpectedAnswer, match="no object"):
        client.dataset_health("acme", "cats")


def test_single_objects(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get(f"/datasets/{UID}/").respond(json={"uid": UID, "name": "d"})
    api.get(f"/users/me/projects/{UID}/").respond(json={"uid": UID, "status": "ACTIVE"})
    api.get(f"/exports/{UID}/").respond(json={"uid": UID, "status": "exported"})
    assert client.dataset(UID).name == "d"
    assert client.project(UID).status == "active"
    assert client.export(UID).state == "success"


def test_an_answer_without_a_uid_names_the_field_and_no_value(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get(f"/datasets/{UID}/").respond(json={"name": "SECRET", "item_count": "SECRET"})
    with pytest.raises(UnexpectedAnswer, match="item_count, uid") as caught:
        client.dataset(UID)
    assert "SECRET" not in str(caught.value)
    assert caught.value.__context__ is None


@pytest.mark.parametrize("uid", ["", "..", "a/b", "a?b", "%2e%2e"])
def test_unsafe_ids_are_never_sent(api: respx.MockRouter, client: AvalaClient, uid: str) -> None:
    for call in (client.dataset, client.project, client.export, client.progress):
        with pytest.raises(UserError, match="not an Avala id"):
            call(uid)
    assert api.calls.call_count == 0


def test_projects_are_found_by_exact_name_and_owner(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/users/me/projects/").respond(
        json=page(
            {"uid": "1", "name": "cats r1", "owner_name": "Acme"},
            {"uid": "2", "name": "cats r10", "owner_name": "acme"},
            {"uid": "3", "name": "cats r1", "owner_name": "other"},
            {"uid": "4", "name": "cats r1"},
            {"uid": "5", "name": "CATS R1", "owner_name": "acme"},
        )
    )
    assert [project.uid for project in client.find_projects("cats r1", "acme")] == ["1", "4"]


@pytest.mark.parametrize("status", [404, 405])
def test_the_owners_list_is_read_where_the_first_route_is_missing(
    api: respx.MockRouter, client: AvalaClient, status: int
) -> None:
    api.get("/users/me/projects/").respond(status, json={"detail": "no"})
    owner = api.get("/projects/acme/").mock(
        side_effect=[httpx.Response(200, json=page({"uid": "1", "name": "x"})), httpx.Response(404)]
    )
    assert len(client.find_projects("x", "acme")) == 1
    assert client.find_projects("x", "acme") == []
    assert owner.call_count == 2


def test_a_refused_project_list_is_no_empty_list(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/users/me/projects/").respond(403, json={"detail": "no", "code": "scope_required"})
    with pytest.raises(Forbidden, match="scope"):
        client.find_projects("x", "acme")


def test_progress_counts_only_this_project_over_all_pages(api: respx.MockRouter, client: AvalaClient) -> None:
    other = "11111111-1111-4111-8111-111111111111"
    api.get("/tasks/", params={"project": UID, "cursor": "2"}).respond(
        json=page({"uid": "c", "status": "completed", "project": UID.upper()}, {"uid": "d", "status": "in_progress"})
    )
    first = page(
        {"uid": "a", "status": "completed", "project": UID},
        {"uid": "a", "status": "completed", "project": UID},
        {"uid": "b", "status": "COMPLETED", "project": other},
    )
    api.get("/tasks/", params={"project": UID}).respond(json=first | {"next": "?cursor=2"})
    assert client.progress(UID) == (3, 2)


@pytest.mark.parametrize(
    ("answer", "rate"),
    [
        ({"total_tasks": 4, "completed_tasks": 2, "acceptance_rate": 0.5}, 0.5),
        ({"total_tasks": 4, "completed_tasks": 0, "acceptance_rate": 1.0}, None),
        ({"total_tasks": 4, "completed_tasks": 2}, None),
        ({"total_tasks": 4, "completed_tasks": 2, "acceptance_rate": 93}, None),
        (["no object"], None),
        (None, None),
    ],
)
def test_an_acceptance_rate_counts_only_when_it_is_one(
    api: respx.MockRouter, client: AvalaClient, answer: object, rate: float | None
) -> None:
    route = api.get(f"/projects/{UID}/metrics/")
    if answer is None:
        route.respond(404, json={"detail": "Not found."})
    else:
        route.respond(json=answer)
    assert client.acceptance_rate(UID) == rate


def test_members_are_read_flat_and_nested(api: respx.MockRouter, client: AvalaClient) -> None:
    flat: dict[str, object] = {"user_uid": "1", "username": "ada", "email": "ada@acme.test", "role": "OWNER"}
    nested: dict[str, object] = {"role": "member", "member": {"user": {"username": "bob", "email": "bob@acme.test"}}}
    api.get("/organizations/acme/members/").respond(json=page(flat, nested))
    assert [(one.username, one.email, one.role) for one in client.members("acme")] == [
        ("ada", "ada@acme.test", "owner"), ("bob", "bob@acme.test", "member"),
    ]  # fmt: skip


def test_quota_and_types_of_uploads(api: respx.MockRouter, client: AvalaClient) -> None:
    quota = api.get("/datasets/manual-upload/quota/")
    quota.respond(json={"used": 1, "limit": 2})
    told = client.upload_quota(UID)
    assert told is not None
    assert (told.used, told.limit) == (1, 2)
    assert quota.calls.last.request.url.params["organization_uid"] == UID
    quota.respond(404, json={"detail": "Not found."})
    assert client.upload_quota() is None
    api.get("/datasets/manual-upload/allowed-mimes/").respond(
        json={"mime_types": ["image/png"], "video_prefix": "video/"}
    )
    assert client.upload_types() == ["image/png"]


def test_filters_and_order_are_sent_on_every_page(api: respx.MockRouter, client: AvalaClient) -> None:
    listed = api.get("/datasets/", params={"name": "cats", "status": "created"})
    listed.respond(json=page({"uid": "1", "owner_name": "acme"}, {"uid": "2", "owner_name": "other"}))
    assert [one.uid for one in client.datasets("acme", name="cats", status="created")] == ["1"]
    api.get("/datasets/acme/list/", params={"ordering": "name", "page": "2"}).respond(json=page({"uid": "b"}))
    first = page({"uid": "a"}) | {"next": "?page=2", "count": 2}
    api.get("/datasets/acme/list/", params={"ordering": "name"}).respond(json=first)
    assert [one.uid for one in client.datasets_of("acme", "name")] == ["a", "b"]
    done = api.get("/tasks/", params={"project": UID, "status": "completed"}).respond(json=page({"uid": "t"}))
    assert [one.uid for one in client.tasks(UID, status="completed")] == ["t"]
    assert done.call_count == 1
    api.get("/tasks/t/").respond(json={"uid": "t", "status": "pending"})
    assert client.task("t").status == "pending"


def test_exports_are_found_by_exact_name(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/exports/").respond(json=page({"uid": "1", "name": "r1"}, {"uid": "2", "name": "r10"}))
    assert [export.uid for export in client.find_exports("r1")] == ["1"]
    assert len(list(client.exports())) == 2


def test_organizations_are_given_as_they_stand(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/organizations/").respond(json=page({"slug": "acme", "plan": "PRO"}) | {"count": 1})
    assert client.organizations() == [{"slug": "acme", "plan": "PRO"}]


def test_a_missing_project_says_so(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get(f"/users/me/projects/{UID}/").respond(404, json={"detail": "Not found."})
    with pytest.raises(NotFound, match=UID):
        client.project(UID)
