import asyncio
import time
from typing import Any

import httpx
import pytest
from starlette.types import Message

from alaas_pipeline.sandbox import Settings
from alaas_pipeline.sandbox.box import Box
from alaas_pipeline.sandbox.gate import Gate
from alaas_pipeline.sandbox.limits import Limiter
from alaas_pipeline_tests.sandbox.api import Api
from alaas_pipeline_tests.sandbox.conftest import Serve

LIMITS = ("X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset")


@pytest.mark.parametrize("key", [None, "", "wrong", "avk_sandbox "])
def test_a_missing_or_wrong_key_is_a_401(api: Api, key: str | None) -> None:
    headers = {} if key is None else {"X-Avala-Api-Key": key.strip() + ("x" if key.endswith(" ") else "")}
    answer = httpx.get(f"{api.base_url}users/me/", headers=headers)
    assert answer.status_code == 401
    assert answer.json() == {"detail": "Invalid API key."}


def test_an_expired_key_is_a_401_that_says_so(api: Api) -> None:
    answer = api.as_key("avk_old", expired=True).get("/users/me/")
    assert (answer.status_code, answer.json()) == (401, {"detail": "API key has expired."})


def test_a_wrong_key_is_answered_before_a_broken_body(api: Api) -> None:
    answer = httpx.post(f"{api.base_url}exports/", content=b"{", headers={"Content-Type": "application/json"})
    assert answer.status_code == 401


@pytest.mark.parametrize("path", ["/nowhere/", "/projects/x/y/z/", "/tasks/no-such-uid/", "/datasets/a/b/"])
def test_what_does_not_exist_is_a_404(api: Api, path: str) -> None:
    answer = api.get(path)
    assert (answer.status_code, answer.json()) == (404, {"detail": "Not found."})


def test_a_wrong_method_is_a_405(api: Api) -> None:
    answer = api.delete("/tasks/")
    assert (answer.status_code, answer.json()) == (405, {"detail": 'Method "DELETE" not allowed.'})
    assert answer.headers["Allow"] == "GET"


def test_a_get_without_slash_is_redirected_with_its_query(api: Api) -> None:
    answer = api.get("/projects/a%20b?limit=3")
    assert answer.status_code == 301
    assert answer.headers["Location"] == "/api/v1/projects/a%20b/?limit=3"


def test_a_post_without_slash_is_an_error_and_has_no_effect(api: Api) -> None:
    before = api.admin("effects").json()
    answer = api.post("/exports", json={})
    assert answer.status_code == 404
    assert "slash" in answer.json()["detail"]
    assert api.admin("effects").json() == before


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/users/me/", 200),
        ("GET", "/users/me", 301),
        ("GET", "/nowhere/", 404),
        ("DELETE", "/tasks/", 405),
        ("GET", "/projects/", 403),
        ("POST", "/exports/", 400),
    ],
)
def test_every_answer_carries_the_limits(api: Api, method: str, path: str, status: int) -> None:
    answer = api.request(method, path)
    assert answer.status_code == status
    assert all(answer.headers[name].isdigit() for name in LIMITS)
    assert time.time() < int(answer.headers["X-RateLimit-Reset"]) <= time.time() + 62


def test_the_minute_limit_counts_down_and_ends_in_429(serve: Serve) -> None:
    api = serve(requests_per_minute=3, anonymous_per_minute=2)
    remaining = [int(api.get("/users/me/").headers["X-RateLimit-Remaining"]) for _ in range(3)]
    assert remaining == [2, 1, 0]
    refused = api.get("/users/me/")
    wait = int(refused.headers["Retry-After"])
    assert refused.status_code == 429
    assert 50 <= wait <= 60
    assert refused.json() == {"detail": f"Request was throttled. Expected available in {wait} seconds."}
    assert refused.headers["X-RateLimit-Remaining"] == "0"
    assert refused.headers["X-RateLimit-Limit"] == "3"
    # Another user has an allowance of their own, and so has somebody without a key.
    assert api.as_key("avk_else", username="else").get("/users/me/").status_code == 200
    nobody = api.without_key()
    assert [nobody.get("/users/me/").status_code for _ in range(3)] == [401, 401, 429]


def test_two_keys_of_one_user_share_an_allowance(serve: Serve) -> None:
    api = serve(requests_per_minute=1)
    assert api.get("/users/me/").status_code == 200
    assert api.as_key("avk_second").get("/users/me/").status_code == 429


def test_the_burst_limit_frees_itself_after_a_second() -> None:
    now = [1000.0]
    limiter = Limiter(burst_per_second=2, clock=lambda: now[0])
    assert [limiter.take("a", 100)[1] for _ in range(3)] == [None, None, 1]
    now[0] += 1.001
    assert limiter.take("a", 100)[1] is None


def test_the_minute_slides_and_refused_requests_do_not_count() -> None:
    now = [1000.0]
    limiter = Limiter(burst_per_second=100, clock=lambda: now[0])
    assert limiter.take("a", 2)[1] is None
    now[0] += 30
    assert limiter.take("a", 2)[1] is None
    assert [limiter.take("a", 2)[1] for _ in range(5)] == [30] * 5
    now[0] += 30.5
    headers, wait = limiter.take("a", 2)
    assert wait is None
    assert headers["X-RateLimit-Reset"] == "1090"


def test_only_loopback_may_administer(tmp_path: Any) -> None:
    async def inner(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})

    def status(address: str, **settings: Any) -> int:
        box = Box(Settings(state=tmp_path / address.replace(":", "_"), **settings))
        sent: list[Message] = []

        async def send(message: Message) -> None:
            sent.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        scope = {
            "type": "http",
            "path": "/_sandbox/effects",
            "method": "GET",
            "headers": [],
            "query_string": b"",
            "client": (address, 1),
        }
        asyncio.run(Gate(inner, box)(scope, receive, send))
        box.state.close()
        return sent[0]["status"]

    assert status("127.0.0.1") == 200
    assert status("::1") == 200
    assert status("192.0.2.7") == 403
    assert status("192.0.2.8", admin_from_anywhere=True) == 200
