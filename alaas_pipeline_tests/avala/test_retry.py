"""Reading what the server asks for, and how long is waited before the next attempt."""

from datetime import UTC, datetime

import httpx
import pytest

from alaas_pipeline.avala.errors import AvalaError, RateLimited, ServerError
from alaas_pipeline.avala.retry import Retrying, RetryPolicy, passing, retry_after_s
from alaas_pipeline_tests.avala.conftest import FakeTime

NOW = 1_800_000_000.0
DATE = "Fri, 15 Jan 2027 08:00:00 GMT"


@pytest.mark.parametrize(
    ("raw", "seconds"),
    [
        ("7", 7.0),
        (" 2.5 ", 2.5),
        ("0", 0.0),
        ("-3", 0.0),
        ("99999999", 86_400.0),
        ("Fri, 15 Jan 2027 08:00:30 GMT", 30.0),
        ("Fri, 15 Jan 2027 07:00:00 GMT", 0.0),
        ("soon", None),
        ("", None),
        ("nan", None),
        ("1e999", None),
        ("Fri, 99 Foo 2027", None),
        ("1; 2", None),
    ],
)
def test_retry_after_in_every_form(raw: str, seconds: float | None) -> None:
    assert retry_after_s(httpx.Headers({"Retry-After": raw}), NOW) == seconds


def test_an_http_date_is_compared_with_the_servers_own_clock() -> None:
    headers = httpx.Headers({"Retry-After": "Fri, 15 Jan 2027 09:00:10 GMT", "Date": "Fri, 15 Jan 2027 09:00:00 GMT"})
    assert retry_after_s(headers, NOW) == 10.0


def test_backoff_doubles_up_to_its_cap_and_is_jittered() -> None:
    policy = RetryPolicy(base_s=1.0, longest_backoff_s=10.0)
    assert [policy.backoff(attempt, 1.0) for attempt in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert policy.backoff(3, 0.25) == 1.0


def error(status: int) -> AvalaError:
    if status == 429:
        return RateLimited("Slowly.", retry_after=60, call="GET /x/")
    return ServerError("Down.", call="GET /x/", status=status)


def run(clock: FakeTime, policy: RetryPolicy, *outcomes: tuple[object, float | None]) -> object:
    rest = list(outcomes)
    return Retrying(policy, clock.timing).run(lambda: rest.pop(0), passing)


@pytest.mark.parametrize("status", [429, 503])
def test_what_the_server_asks_for_is_slept_and_a_little_more(clock: FakeTime, status: int) -> None:
    assert run(clock, RetryPolicy(), (error(status), 7.0), (error(status), 0.0), ("good", None)) == "good"
    assert clock.sleeps == [7.25, 0.5]


def test_the_longest_wait_of_a_run_is_a_minute(clock: FakeTime) -> None:
    assert run(clock, RetryPolicy(), (error(429), 60.0), ("good", None)) == "good"
    assert clock.sleeps == [60.0], "the jitter makes no wait too long"
    with pytest.raises(RateLimited):
        run(clock, RetryPolicy(), (error(429), 60.1))
    assert len(clock.sleeps) == 1


def test_throttling_without_a_time_is_waited_out_with_jitter(clock: FakeTime) -> None:
    outcomes = [(error(429), None)] * 3
    assert run(clock, RetryPolicy(base_s=1.0), *outcomes, ("good", None)) == "good"
    assert clock.sleeps == [1.5, 3.0, 6.0]


@pytest.mark.parametrize(
    ("now", "retry_after", "told"),
    [(NOW, 60, "2027-01-15 08:01:00 UTC"), (NOW + 0.4, 86_400.2, "2027-01-16 08:00:01 UTC")],
)
def test_a_limit_says_when_to_come_back(now: float, retry_after: float, told: str) -> None:
    limited = RateLimited("Too many calls.", retry_after=retry_after, now=now)
    assert str(limited) == f"Too many calls. Come back at {told}."
    assert limited.retry_after == retry_after


def test_a_limit_says_when_to_come_back_from_now_on() -> None:
    told = str(RateLimited("Too many calls.", retry_after=3_600)).removeprefix("Too many calls. Come back at ")
    ahead = datetime.strptime(told, "%Y-%m-%d %H:%M:%S UTC.").replace(tzinfo=UTC) - datetime.now(UTC)
    assert 3_590 < ahead.total_seconds() <= 3_601
