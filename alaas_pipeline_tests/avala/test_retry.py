"""Reading what the server asks for, and pacing by it."""

import httpx
import pytest

from alaas_pipeline.avala.retry import Pacer, RetryPolicy, retry_after_s

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


def test_the_pacer_waits_when_the_allowance_is_used_up(clock) -> None:
    pacer = Pacer(clock.timing, longest_wait_s=90)
    pacer.learn({"X-RateLimit-Remaining": "3", "X-RateLimit-Reset": str(clock.now + 20)})
    pacer.wait()
    assert clock.sleeps == []
    pacer.learn({"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": str(clock.now + 20)})
    pacer.wait()
    pacer.wait()
    assert clock.sleeps == [20.0]


def test_one_wait_of_many_threads_is_told_once(clock, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    pacer = Pacer(clock.timing, longest_wait_s=90)
    pacer.hold(20)
    pacer.wait()
    clock.now -= 20
    pacer.wait()
    assert caplog.text.count("going on in 20 s") == 1


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-RateLimit-Remaining": "0"},
        {"X-RateLimit-Remaining": "none", "X-RateLimit-Reset": "soon"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "1e18"},
        {"X-RateLimit-Remaining": "0", "X-RateLimit-Reset": "nan"},
    ],
)
def test_the_pacer_ignores_missing_odd_and_endless_allowances(clock, headers: dict[str, str]) -> None:
    pacer = Pacer(clock.timing, longest_wait_s=90)
    pacer.learn(headers)
    pacer.wait()
    assert clock.sleeps == []
