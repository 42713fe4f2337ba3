"""What is retried, how long is waited, what a failure says, and where the key goes."""

import logging
import ssl

import httpx
import pytest
import respx
from pydantic import SecretStr

from alaas_pipeline.avala.addresses import read_base_url
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import (
    AvalaError,
    RateLimited,
    ServerError,
    TransportFailure,
    UnexpectedAnswer,
    ValidationFailed,
)
from alaas_pipeline.avala.retry import RetryPolicy
from alaas_pipeline.avala.transport import _tls, build_http
from alaas_pipeline.errors import UserError
from alaas_pipeline_tests.avala.conftest import BASE, KEY, FakeTime, Loopback

ME = {"uid": "u1", "username": "me"}


def test_a_read_sends_the_key_once_and_asks_for_json(api: respx.MockRouter, client: AvalaClient) -> None:
    route = api.get("/users/me/").respond(json=ME)
    assert client.me().uid == "u1"
    sent = route.calls.last.request
    assert sent.headers["X-Avala-Api-Key"] == KEY
    assert sent.headers["Accept"] == "application/json"
    assert KEY not in str(sent.url)


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504, 524])
def test_reads_are_repeated(api: respx.MockRouter, client: AvalaClient, clock: FakeTime, status: int) -> None:
    route = api.get("/users/me/").mock(side_effect=[httpx.Response(status), httpx.Response(200, json=ME)])
    assert client.me().username == "me"
    assert route.call_count == 2
    assert len(clock.sleeps) == 1


@pytest.mark.parametrize(
    "fault",
    [httpx.ConnectError, httpx.ConnectTimeout, httpx.ReadTimeout, httpx.ReadError, httpx.RemoteProtocolError],
)
def test_reads_are_repeated_after_lost_connections(
    api: respx.MockRouter, client: AvalaClient, fault: type[httpx.TransportError]
) -> None:
    api.get("/users/me/").mock(side_effect=[fault("x"), fault("x"), httpx.Response(200, json=ME)])
    assert client.me().uid == "u1"


@pytest.mark.parametrize("status", [400, 401, 403, 404, 405, 409, 422])
def test_refused_reads_are_not_repeated(api: respx.MockRouter, client: AvalaClient, status: int) -> None:
    route = api.get("/users/me/").respond(status, json={"detail": "no"})
    with pytest.raises(AvalaError):
        client.me()
    assert route.call_count == 1


def test_retries_are_bounded_by_attempts(api: respx.MockRouter, clock: FakeTime) -> None:
    route = api.get("/users/me/").respond(500)
    retry = RetryPolicy(attempts=4, base_s=1.0)
    client = AvalaClient(BASE, SecretStr(KEY), timing=clock.timing, retry=retry)
    with pytest.raises(ServerError):
        client.me()
    assert route.call_count == 4
    assert clock.sleeps == [0.5, 1.0, 2.0], "half of 1, 2, 4: the draw is 0.5"


def test_retries_are_bounded_by_wall_clock(api: respx.MockRouter, clock: FakeTime) -> None:
    route = api.get("/users/me/").respond(429, headers={"Retry-After": "40"})
    retry = RetryPolicy(attempts=100, wall_clock_s=100, base_s=0)
    with pytest.raises(RateLimited):
        AvalaClient(BASE, SecretStr(KEY), timing=clock.timing, retry=retry).me()
    assert route.call_count == 3
    assert sum(clock.sleeps) <= 100


@pytest.mark.parametrize(("header", "wait"), [("7", 7.0), ("2.5", 2.5), ("Fri, 15 Jan 2027 08:00:09 GMT", 9.0)])
def test_retry_after_is_obeyed(
    api: respx.MockRouter, client: AvalaClient, clock: FakeTime, header: str, wait: float
) -> None:
    clock.draw = 0.0
    throttled = httpx.Response(429, headers={"Retry-After": header})
    api.get("/users/me/").mock(side_effect=[throttled, httpx.Response(200, json=ME)])
    client.me()
    assert sum(clock.sleeps) == wait


@pytest.mark.parametrize("header", [None, "soon"])
def test_without_a_usable_hint_throttling_still_waits(
    api: respx.MockRouter, client: AvalaClient, clock: FakeTime, header: str | None
) -> None:
    clock.draw = 0.0
    throttled = httpx.Response(429, headers={} if header is None else {"Retry-After": header})
    api.get("/users/me/").mock(side_effect=[throttled, throttled, httpx.Response(200, json=ME)])
    client.me()
    assert clock.sleeps == [0.5, 1.0]


def test_a_long_wait_is_handed_back_instead_of_slept(
    api: respx.MockRouter, client: AvalaClient, clock: FakeTime
) -> None:
    api.get("/users/me/").respond(429, headers={"Retry-After": "100"})
    with pytest.raises(RateLimited) as caught:
        client.me()
    assert caught.value.retry_after == 100
    assert clock.sleeps == []


def test_an_allowance_used_up_delays_the_next_call(api: respx.MockRouter, client: AvalaClient, clock: FakeTime) -> None:
    headers = {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(int(clock.now) + 15)}
    api.get("/users/me/").respond(json=ME, headers=headers)
    client.me()
    assert clock.sleeps == []
    client.me()
    assert clock.sleeps == [15.0]


@pytest.mark.parametrize("status", [408, 500, 502, 503, 524])
def test_a_change_is_not_repeated_when_it_may_have_happened(
    api: respx.MockRouter, client: AvalaClient, status: int
) -> None:
    route = api.post("/x/").respond(status)
    with pytest.raises(AvalaError) as caught:
        client.transport.post("/x/", {})
    assert route.call_count == 1
    assert caught.value.may_have_taken_effect


@pytest.mark.parametrize(
    ("fault", "sent"),
    [
        (httpx.ReadTimeout, True),
        (httpx.ReadError, True),
        (httpx.RemoteProtocolError, True),
        (httpx.WriteError, None),
        (httpx.WriteTimeout, None),
        (httpx.ProxyError, None),
    ],
)
def test_a_change_is_not_repeated_when_something_may_have_been_sent(
    api: respx.MockRouter, client: AvalaClient, fault: type[httpx.TransportError], sent: bool | None
) -> None:
    route = api.post("/x/").mock(side_effect=fault("text with CANARY"))
    with pytest.raises(TransportFailure) as caught:
        client.transport.post("/x/", {})
    assert route.call_count == 1
    assert caught.value.sent is sent
    assert caught.value.may_have_taken_effect
    assert caught.value.__context__ is None, "httpx's own error holds the request, and so the key"
    assert "CANARY" not in str(caught.value)


@pytest.mark.parametrize("fault", [httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout])
def test_a_change_is_repeated_when_nothing_was_sent(
    api: respx.MockRouter, client: AvalaClient, fault: type[httpx.TransportError]
) -> None:
    route = api.post("/x/").mock(side_effect=[fault("x"), httpx.Response(201, json={"uid": "a"})])
    assert client.transport.post("/x/", {}) == {"uid": "a"}
    assert route.call_count == 2


def test_a_change_is_repeated_after_throttling(api: respx.MockRouter, client: AvalaClient) -> None:
    throttled = httpx.Response(429, headers={"Retry-After": "1"})
    route = api.post("/x/").mock(side_effect=[throttled, httpx.Response(201, json={"uid": "a"})])
    client.transport.post("/x/", {})
    assert route.call_count == 2


def test_a_server_that_cannot_be_reached_is_named_as_such(clock: FakeTime) -> None:
    client = AvalaClient("http://127.0.0.1:1/api", SecretStr(KEY), allow_insecure_loopback=True, timing=clock.timing)
    with pytest.raises(TransportFailure, match="could not be reached") as caught:
        client.transport.post("/x/", {})
    assert caught.value.sent is False
    assert not caught.value.may_have_taken_effect
    assert len(clock.sleeps) == RetryPolicy().attempts - 1


def test_validation_errors_are_not_retried_and_keep_their_fields(api: respx.MockRouter, client: AvalaClient) -> None:
    api.post("/x/").respond(400, json={"name": ["Bad."]})
    with pytest.raises(ValidationFailed) as caught:
        client.transport.post("/x/", {})
    assert caught.value.fields == {"name": ["Bad."]}


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_the_key_never_follows_a_redirect(loopback, clock: FakeTime, status: int) -> None:
    good, foreign = loopback(), loopback()

    def redirect(handler) -> None:
        handler.send_response(status)
        handler.send_header("Location", f"{foreign.url}/api/v1/users/me/")
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    good.answers["/api/v1/users/me/"] = redirect
    with pytest.raises(UnexpectedAnswer, match="redirect"):
        good.client(clock).me()
    assert len(good.seen) == 1
    assert foreign.seen == []


def test_an_endless_answer_is_cut_off(loopback, clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("alaas_pipeline.avala.transport.MAX_ANSWER_BYTES", 1 << 20)
    server: Loopback = loopback()

    def pour(handler) -> None:
        handler.send_response(200)
        handler.end_headers()
        try:
            while True:
                handler.wfile.write(b" " * 65_536)
        except OSError:
            pass

    server.answers["/api/v1/users/me/"] = pour
    with pytest.raises(UnexpectedAnswer, match="longer than"):
        server.client(clock).me()


@pytest.mark.parametrize("key", ["", "a b", "kéy", "line\nbreak", "tab\t"])
def test_keys_that_are_no_keys_are_refused_without_being_shown(key: str) -> None:
    with pytest.raises(UserError, match="AVALA_API_KEY") as caught:
        AvalaClient(BASE, SecretStr(key))
    assert not key or key not in str(caught.value)


def test_no_repr_and_no_log_line_shows_the_key_or_a_query(
    api: respx.MockRouter, client: AvalaClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    api.get("/tasks/").respond(json={"results": [], "next": None})
    list(client.tasks("p1"))
    api.get("/users/me/").mock(
        side_effect=[httpx.Response(503, headers={"Retry-After": "5"}), httpx.Response(200, json=ME)]
    )
    client.me()
    shown = f"{client!r} {client.transport!r} {client.storage!r} {caplog.text}"
    assert KEY not in shown
    assert "project=p1" not in shown
    assert "trying again in 5 s" in caplog.text


def test_certificates_are_verified_and_redirects_off() -> None:
    for address, trusts in (
        (read_base_url(BASE), True),
        (read_base_url("http://localhost:1/api", allow_insecure_loopback=True), False),
    ):
        http = build_http(address, 5)
        assert http.follow_redirects is False
        assert http.trust_env is trusts
    context = _tls(True)
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_loggers_that_would_show_urls_are_quiet() -> None:
    assert logging.getLogger("httpx").level == logging.WARNING
    assert logging.getLogger("httpcore").level == logging.WARNING


def test_a_stream_from_elsewhere_is_asked_for_without_the_key(loopback, clock: FakeTime) -> None:
    home, foreign = loopback(), loopback()
    with home.client(clock).transport.open(f"{foreign.url}/api/v1/x"):
        pass
    assert "x-avala-api-key" not in foreign.seen[0][1]
