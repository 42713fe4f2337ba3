"""That every call to the API goes through the key's limiter, and every answer is heeded by all who use the key."""

from pathlib import Path

import httpx
import pytest
import respx
from pydantic import SecretStr

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import RateLimited, ServerError, TransportFailure
from alaas_pipeline.avala.retry import RetryPolicy, Timing
from alaas_pipeline_tests.avala.conftest import BASE, KEY, FakeTime

ME = httpx.Response(200, json={"uid": "u1", "username": "me"})
STORE = "https://bucket.s3.amazonaws.com"
SIGNED = SecretStr(f"{STORE}/a?sig=1")


def client_at(folder: Path, clock: FakeTime, timing: Timing | None = None, **retry: float) -> AvalaClient:
    policy = RetryPolicy(**{"base_s": 0.0, **retry})  # type: ignore[arg-type]
    return AvalaClient(BASE, SecretStr(KEY), timing=timing or clock.timing, limits=folder, retry=policy)


def throttled(retry_after: str | None) -> httpx.Response:
    return httpx.Response(429, headers={} if retry_after is None else {"Retry-After": retry_after})


@pytest.mark.parametrize("method", ["get", "post", "open"])
def test_each_call_takes_a_permit(api: respx.MockRouter, tmp_path: Path, clock: FakeTime, method: str) -> None:
    api.route().mock(return_value=ME)
    client = client_at(tmp_path, clock)

    def call() -> None:
        if method == "open":
            with client.transport.open(f"{BASE}/exports/1/download"):
                pass
        else:
            getattr(client.transport, method)("/users/me/")

    for _ in range(10):
        call()
    assert clock.sleeps == []
    call()
    assert clock.sleeps == pytest.approx([1.0])


def test_each_attempt_takes_a_permit(api: respx.MockRouter, tmp_path: Path, clock: FakeTime) -> None:
    api.get("/users/me/").respond(500)
    client = client_at(tmp_path, clock, attempts=11)
    with pytest.raises(ServerError):
        client.me()
    assert sum(clock.sleeps) == pytest.approx(1.0)


def test_what_lies_elsewhere_does_not_count(respx_mock: respx.MockRouter, tmp_path: Path, clock: FakeTime) -> None:
    route = respx_mock.get(f"{STORE}/a").mock(return_value=throttled("90"))
    client = client_at(tmp_path, clock)
    for _ in range(20):
        with client.transport.open(f"{STORE}/a"):
            pass
    assert route.call_count == 20
    assert clock.sleeps == []
    assert client.limiter.blocked_for() == 0


@pytest.mark.parametrize("method", ["get", "post"])
def test_others_hold_while_one_waits_out_a_short_429(
    api: respx.MockRouter, tmp_path: Path, clock: FakeTime, method: str
) -> None:
    other = client_at(tmp_path, clock)
    seen: list[float] = []

    def sleep(seconds: float) -> None:
        seen.append(other.limiter.blocked_for())
        clock._sleep(seconds)

    route = api.route().mock(side_effect=[throttled("7"), ME])
    one = client_at(tmp_path, clock, Timing(clock._read, clock._read, sleep, lambda: 0.0))
    getattr(one.transport, method)("/users/me/")
    assert (seen, clock.sleeps, route.call_count) == ([7.0], [7.0], 2)


@pytest.mark.parametrize("method", ["get", "post"])
@pytest.mark.parametrize(
    ("retry_after", "attempts", "held"),
    [
        ("61", 8, 61),
        ("3600.5", 8, 3600.5),
        ("Fri, 15 Jan 2027 10:00:00 GMT", 8, 7200),
        ("9999999", 8, 86_400),
        ("30", 1, 30),
        (None, 2, 60),
        ("soon", 2, 60),
    ],
)
def test_what_is_handed_back_is_known_to_all_and_to_later_runs(
    api: respx.MockRouter,
    tmp_path: Path,
    clock: FakeTime,
    method: str,
    retry_after: str | None,
    attempts: int,
    held: float,
) -> None:
    route = api.route().mock(return_value=throttled(retry_after))
    with pytest.raises(RateLimited, match=r"Come back at \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC") as caught:
        getattr(client_at(tmp_path, clock, attempts=attempts).transport, method)("/users/me/")
    assert caught.value.retry_after == held
    sent, slept = route.call_count, len(clock.sleeps)
    later = client_at(tmp_path, clock, longest_wait_s=held - 1)
    assert later.limiter.blocked_for() == held
    with pytest.raises(RateLimited, match="nothing was sent") as caught:
        getattr(later.transport, method)("/users/me/")
    assert caught.value.retry_after == held
    assert not caught.value.may_have_taken_effect
    assert (route.call_count, len(clock.sleeps)) == (sent, slept)

    api.route().mock(return_value=ME)
    getattr(client_at(tmp_path, clock, longest_wait_s=held).transport, method)("/users/me/")
    assert clock.sleeps[slept:] == [held]


def test_a_throttled_download_holds_all(api: respx.MockRouter, tmp_path: Path, clock: FakeTime) -> None:
    api.get("/exports/1/download").mock(return_value=throttled("40"))
    with client_at(tmp_path, clock).transport.open(f"{BASE}/exports/1/download"):
        pass
    assert client_at(tmp_path, clock).limiter.blocked_for() == 40


def test_refusals_of_our_own_are_no_hold(api: respx.MockRouter, tmp_path: Path, clock: FakeTime) -> None:
    client = client_at(tmp_path, clock, longest_wait_s=5)
    for _ in range(80):
        client.limiter.wait(60)
    (state,) = tmp_path.glob("*.json")
    written = state.read_bytes()
    for _ in range(3):
        clock.now += 10
        with pytest.raises(RateLimited):
            client.me()
    assert state.read_bytes() == written
    assert api.calls.call_count == 0


def test_a_busy_server_that_is_not_throttling_holds_nobody(
    api: respx.MockRouter, tmp_path: Path, clock: FakeTime
) -> None:
    api.get("/users/me/").mock(return_value=httpx.Response(503, headers={"Retry-After": "61"}))
    with pytest.raises(ServerError):
        client_at(tmp_path, clock).me()
    assert client_at(tmp_path, clock).limiter.blocked_for() == 0


def test_the_announced_limit_and_an_empty_allowance_are_learnt(
    api: respx.MockRouter, tmp_path: Path, clock: FakeTime
) -> None:
    limits = {"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "9", "X-RateLimit-Reset": str(int(clock.now) + 9)}
    api.get("/users/me/").respond(json={"uid": "u1"}, headers=limits)
    client = client_at(tmp_path, clock)
    for _ in range(3):
        client.me()
    assert clock.sleeps == pytest.approx([1.0]), "two a second"
    api.get("/users/me/").respond(404, headers=limits | {"X-RateLimit-Remaining": "0"})
    with pytest.raises(Exception, match="404"):
        client.me()
    assert client_at(tmp_path, clock).limiter.blocked_for() == pytest.approx(8.0)


def test_a_change_whose_second_attempt_is_refused_here_was_never_sent(
    api: respx.MockRouter, tmp_path: Path, clock: FakeTime
) -> None:
    client = client_at(tmp_path, clock)

    def fail(request: httpx.Request) -> None:
        client.limiter.hold(100)
        raise httpx.ConnectError("x")

    route = api.post("/x/").mock(side_effect=fail)
    with pytest.raises(RateLimited) as caught:
        client.transport.post("/x/", {})
    assert route.call_count == 1
    assert not caught.value.may_have_taken_effect


def test_a_client_without_a_folder_counts_for_itself(api: respx.MockRouter, clock: FakeTime) -> None:
    api.get("/users/me/").mock(return_value=ME)
    one, other = (AvalaClient(BASE, SecretStr(KEY), timing=clock.timing) for _ in range(2))
    for _ in range(10):
        one.me()
        other.me()
    assert clock.sleeps == []
    one.me()
    assert clock.sleeps == [1.0]


@pytest.mark.parametrize("method", ["PUT", "POST"])
def test_uploads_to_storage_take_a_slot(
    respx_mock: respx.MockRouter, tmp_path: Path, clock: FakeTime, method: str
) -> None:
    client, free = client_at(tmp_path, clock, longest_wait_s=3), []

    def answer(request: httpx.Request) -> httpx.Response:
        # The sixth of all slots is the last, and is in use while the bytes travel.
        with pytest.raises(RateLimited), client.limiter.slot("upload", 0):
            raise AssertionError
        return httpx.Response(200)

    def send() -> None:
        if method == "PUT":
            client.storage.put(SIGNED, b"data", {})
        else:
            client.storage.post_form(SIGNED, {}, "a", b"data", "image/png")

    route = respx_mock.route(method=method, url=f"{STORE}/a?sig=1").mock(side_effect=answer)
    for _ in range(5):
        free.append(client.limiter.slot("upload"))
        free[-1].__enter__()
    send()
    assert route.call_count == 1
    with client.limiter.slot("upload"), pytest.raises(RateLimited, match="6 places") as caught:
        send()
    assert route.call_count == 1
    assert not caught.value.may_have_taken_effect
    assert sum(clock.sleeps) == pytest.approx(3.0)
    for slot in free:
        slot.__exit__(None, None, None)


def test_storage_says_how_long_to_wait_and_holds_no_call_to_the_api(
    respx_mock: respx.MockRouter, tmp_path: Path, clock: FakeTime
) -> None:
    clock.draw = 0.0
    client = client_at(tmp_path, clock)
    respx_mock.put(f"{STORE}/a?sig=1").mock(side_effect=[throttled("12"), httpx.ConnectError("x"), httpx.Response(200)])
    client.storage.put(SIGNED, b"data", {})
    assert clock.sleeps == [12.0, 0.0]
    respx_mock.put(f"{STORE}/a?sig=1").mock(return_value=throttled("61"))
    with pytest.raises(RateLimited, match="Come back at"):
        client.storage.put(SIGNED, b"data", {})
    assert client.limiter.blocked_for() == 0


def test_a_failed_form_is_not_sent_again(respx_mock: respx.MockRouter, tmp_path: Path, clock: FakeTime) -> None:
    route = respx_mock.post(f"{STORE}/a?sig=1").mock(side_effect=httpx.ReadTimeout("x"))
    with pytest.raises(TransportFailure):
        client_at(tmp_path, clock).storage.post_form(SIGNED, {}, "a", b"data", "image/png")
    assert route.call_count == 1
