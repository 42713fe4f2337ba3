"""Pages are followed to their end, and never astray."""

import httpx
import pytest
import respx

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import UnexpectedAnswer
from alaas_pipeline.avala.paging import read_pages
from alaas_pipeline_tests.avala.conftest import BASE


def page(*uids: str, next: object = None) -> dict[str, object]:
    return {"results": [{"uid": uid} for uid in uids], "next": next, "previous": None}


def read(client: AvalaClient, **filters: str) -> list[str]:
    return [entry["uid"] for entry in read_pages(client.transport, "/tasks/", filters)]


def test_cursor_pages_keep_the_filters(api: respx.MockRouter, client: AvalaClient) -> None:
    route = api.get("/tasks/").mock(
        side_effect=[
            httpx.Response(200, json=page("a", "b", next=f"{BASE}/tasks/?cursor=bz0x%3D%3D")),
            httpx.Response(200, json=page(next=f"{BASE}/tasks/?cursor=two")),
            httpx.Response(200, json=page("c")),
        ]
    )
    assert read(client, project="p") == ["a", "b", "c"]
    queries = [dict(call.request.url.params) for call in route.calls]
    assert queries == [
        {"limit": "100", "project": "p"},
        {"limit": "100", "project": "p", "cursor": "bz0x=="},
        {"limit": "100", "project": "p", "cursor": "two"},
    ]


def test_page_numbers_and_older_envelopes(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/tasks/", params={"page": "2"}).respond(json={"items": [{"uid": "b"}], "next": ""})
    api.get("/tasks/").respond(json=page("a", next="?page=2") | {"count": 2})
    assert read(client) == ["a", "b"]


def test_a_bare_list_is_one_page(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/tasks/").respond(json=[{"uid": "a"}])
    assert read(client) == ["a"]


@pytest.mark.parametrize(
    "link",
    [
        "https://api.example.test/api/v1/tasks/?cursor=2",
        "http://api.example.test/api/v1/tasks/?cursor=2",
        "https://api.example.test:443/api/v1/tasks/?cursor=2",
        "https://API.example.test/api/v1/tasks?cursor=2",
        "/api/v1/tasks/?cursor=2",
        "?cursor=2",
    ],
)
def test_links_to_the_same_place_are_followed_on_our_own_address(
    api: respx.MockRouter, client: AvalaClient, link: str
) -> None:
    second = api.get("/tasks/", params={"cursor": "2"}).respond(json=page("b"))
    api.get("/tasks/").respond(json=page("a", next=link))
    assert read(client) == ["a", "b"]
    assert str(second.calls.last.request.url).startswith(f"{BASE}/tasks/?")


@pytest.mark.parametrize(
    ("link", "why"),
    [
        ("https://evil.test/api/v1/tasks/?cursor=2", "another host"),
        ("https://api.example.test.evil.test/api/v1/tasks/?cursor=2", "another host"),
        ("https://api.example.test@evil.test/api/v1/tasks/?cursor=2", "another host"),
        ("https://api.example.test:8443/api/v1/tasks/?cursor=2", "another host"),
        ("//evil.test/api/v1/tasks/?cursor=2", "another host"),
        ("https://api.example.test/api/v1/users/me/?cursor=2", "another path"),
        ("https://api.example.test/api/v1/tasks/../users/me/?cursor=2", "another path"),
        ("file:///etc/passwd?cursor=2", "another path"),
        ("https://[broken/?cursor=2", "no address"),
        (7, "no address"),
    ],
)
def test_links_elsewhere_are_refused(api: respx.MockRouter, client: AvalaClient, link: object, why: str) -> None:
    route = api.get("/tasks/").respond(json=page("a", next=link))
    with pytest.raises(UnexpectedAnswer, match=why):
        read(client)
    assert route.call_count == 1


def test_a_cursor_that_repeats_is_an_error_and_no_short_listing(api: respx.MockRouter, client: AvalaClient) -> None:
    route = api.get("/tasks/").respond(json=page("a", next="?cursor=2"))
    with pytest.raises(UnexpectedAnswer, match="read already"):
        read(client)
    assert route.call_count == 2


def test_a_next_that_leads_to_the_first_page_is_noticed(api: respx.MockRouter, client: AvalaClient) -> None:
    api.get("/tasks/").respond(json=page("a", next=f"{BASE}/tasks/"))
    with pytest.raises(UnexpectedAnswer, match="read already"):
        read(client)


def test_endless_pages_are_cut_off(api: respx.MockRouter, client: AvalaClient) -> None:
    counter = iter(range(100))
    api.get("/tasks/").mock(side_effect=lambda _: httpx.Response(200, json=page(next=f"?cursor={next(counter)}")))
    with pytest.raises(UnexpectedAnswer, match="after 5 pages"):
        list(read_pages(client.transport, "/tasks/", max_pages=5))


@pytest.mark.parametrize("body", [{}, {"results": None}, {"results": ["a"]}, {"results": {"a": 1}}, "x", 3])
def test_what_is_no_page_is_refused(api: respx.MockRouter, client: AvalaClient, body: object) -> None:
    api.get("/tasks/").respond(json=body)
    with pytest.raises(UnexpectedAnswer, match="page of results"):
        read(client)


def test_both_names_of_the_real_service_are_one(respx_mock: respx.MockRouter, clock) -> None:
    from pydantic import SecretStr

    respx_mock.get("https://api.avala.ai/api/v1/tasks/", params={"cursor": "2"}).respond(json=page("b"))
    respx_mock.get("https://api.avala.ai/api/v1/tasks/").respond(
        json=page("a", next="https://server.avala.ai/api/v1/tasks/?cursor=2")
    )
    client = AvalaClient("https://api.avala.ai/api/v1", SecretStr("k"), timing=clock.timing)
    assert read(client) == ["a", "b"]
