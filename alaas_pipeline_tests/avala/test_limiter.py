"""One limit for a key: never above it, never stuck, whatever happens to clocks and whatever the server announces."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alaas_pipeline.avala.errors import RateLimited
from alaas_pipeline.avala.retry import Timing
from alaas_pipeline_tests.avala.conftest import FakeTime
from alaas_pipeline_tests.avala.limiters import announced, limiter, refused

FIRST = 1_800_000_000.0


def most_within(moments: list[float], seconds: float) -> int:
    """The most moments in any window of this length."""
    moments = sorted(moments)
    # Moments near 1.8e9 s are rounded to less than a microsecond.
    return max(sum(first <= moment < first + seconds - 1e-5 for moment in moments) for first in moments)


def test_eighty_calls_a_minute_and_ten_a_second(folder: Path | None, clock: FakeTime) -> None:
    one, moments = limiter(folder, clock.timing), []
    for _ in range(100):
        one.wait(60)
        moments.append(clock.now - FIRST)
    assert moments[:11] == pytest.approx([0.0] * 10 + [1.0])
    assert moments[79] == pytest.approx(7.0)
    assert 60 <= moments[80] < 60.7
    assert most_within(moments, 60) == 80
    assert most_within(moments, 1) == 10


@settings(max_examples=40, deadline=None, derandomize=True)
@given(
    limit=st.integers(1, 60),
    shared=st.sampled_from([False, False, False, True]),
    steps=st.lists(
        st.tuples(st.booleans(), st.sampled_from([0, 0.05, 0.3, 1, 7]), st.sampled_from([0, 0, 0, 0, 5, 600])),
        min_size=20,
        max_size=80,
    ),
)
def test_never_above_the_ceiling_in_any_window(
    tmp_path_factory: pytest.TempPathFactory, limit: int, shared: bool, steps: list[tuple[bool, float, float]]
) -> None:
    """Calls by two objects over one folder, while the clock on the wall is set back now and then."""
    folder = tmp_path_factory.mktemp("limits") if shared else None
    real = FakeTime()
    behind = 0.0
    timing = Timing(wall=lambda: real.now - behind, monotonic=lambda: real.now, sleep=real._sleep)
    first = limiter(folder, timing)
    both = (first, limiter(folder, timing) if shared else first)
    first.learn(announced(limit))
    moments = []
    for which, passes, set_back in steps:
        real.now += passes
        behind += set_back
        if refused(both[which]) is None:
            moments.append(real.now)
        else:
            pause = both[which].blocked_for()
            assert 0 < pause <= 60
            real.now += pause
            assert refused(both[1 - which]) is None, "told to come back now"
            moments.append(real.now)
    assert most_within(moments, 60) <= max(1, limit * 8 // 10)
    assert most_within(moments, 1) <= max(1, limit // 10)


def test_too_long_a_wait_is_refused_before_it_begins_and_takes_nothing(folder: Path | None, clock: FakeTime) -> None:
    one = limiter(folder, clock.timing)
    for _ in range(80):
        one.wait(60)
    began, clock.sleeps = clock.now, []
    for _ in range(3):
        with pytest.raises(RateLimited, match=r"nothing was sent\. Come back at 2027-01-15 08:01:0\d UTC\.") as caught:
            one.wait(5)
        assert caught.value.retry_after == pytest.approx(one.blocked_for())
        assert 50 < caught.value.retry_after < 54
        assert not caught.value.may_have_taken_effect
    assert (clock.sleeps, clock.now) == ([], began)
    clock.now += one.blocked_for()
    assert [refused(one) for _ in range(9)] == [None] * 9, "the refused have not used up what became free"


def test_a_free_call_needs_no_patience(folder: Path | None) -> None:
    assert refused(limiter(folder), 0) is None, "by real clocks, which go on between two looks at them"


def test_the_announced_limit_replaces_the_documented_one(folder: Path | None, clock: FakeTime) -> None:
    one = limiter(folder, clock.timing)
    one.learn(announced(30))
    assert [refused(one) is None for _ in range(4)] == [True] * 3 + [False]
    one.learn(announced(300, remaining=290, reset=clock.now + 60))
    assert sum(refused(one) is None for _ in range(40)) == 27


@pytest.mark.parametrize(
    ("seconds", "held"), [(0, 0), (-5, 0), (float("nan"), 0), (1e12, 86_400), (float("inf"), 86_400)]
)
def test_odd_holds(folder: Path | None, clock: FakeTime, seconds: float, held: float) -> None:
    one = limiter(folder, clock.timing)
    one.hold(seconds)
    assert one.blocked_for() == held


def test_an_allowance_almost_used_up_holds_all_until_it_is_renewed(tmp_path: Path, clock: FakeTime) -> None:
    one, other = limiter(tmp_path, clock.timing), limiter(tmp_path, clock.timing)
    one.learn(announced(100, remaining=5, reset=clock.now + 20))
    assert other.blocked_for() == 0
    one.learn(announced(100, remaining=4, reset=clock.now + 20))
    assert other.blocked_for() == 20
    ahead = {"Date": "Fri, 15 Jan 2027 09:00:00 GMT"}
    one.learn(announced(100, remaining=0, reset=clock.now + 3600 + 30) | ahead)
    assert other.blocked_for() == 30, "by the server's own clock"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        announced("", 0),
        announced("many", "none", "soon"),
        announced(-1, 0, 1),
        announced(0, 0, 1e18),
        announced("nan", 0, "nan"),
        announced("1e300", "inf", "inf"),
        announced(0.5, "-inf", FIRST + 30),
        announced(100, 0, FIRST + 3_601),
    ],
)
def test_odd_announcements_are_ignored(folder: Path | None, clock: FakeTime, headers: dict[str, str]) -> None:
    one = limiter(folder, clock.timing)
    one.learn(headers)
    assert sum(refused(one) is None for _ in range(12)) == 10


def test_a_clock_set_back_makes_nobody_wait_longer(folder: Path | None, clock: FakeTime) -> None:
    one = limiter(folder, clock.timing)
    for _ in range(10):
        one.wait(0)
    one.hold(20)
    clock.now -= 86_400
    assert one.blocked_for() == 20
    clock.now += 20
    assert [refused(one) for _ in range(10)] == [None] * 10
    clock.now -= 86_400
    assert 0 < one.blocked_for() <= 1


def test_one_wait_of_many_calls_is_told_once(clock: FakeTime, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    one = limiter(None, clock.timing)
    one.wait(60)
    assert caplog.text == ""
    one.hold(20)
    one.wait(60)
    clock.now -= 20
    one.hold(20)
    one.wait(60)
    assert caplog.text.count("going on in 20 s") == 1
    one.hold(30)
    one.wait(60)
    assert "going on in 30 s" in caplog.text


def test_permits_taken_two_at_a_time_count_when_they_are_used_at_the_latest(clock: FakeTime) -> None:
    one = limiter(None, clock.timing)
    one.learn(announced(20_000))
    one.wait(0)
    clock.now += 0.25
    one.wait(0)
    clock.now += 0.75
    assert sum(refused(one) is None for _ in range(2_100)) == 1_998, "2,000 within the second that began with the other"
