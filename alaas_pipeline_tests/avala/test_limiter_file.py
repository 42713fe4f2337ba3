"""The file that the processes of a key share: what one learns all know, and a torn one is begun anew."""

import json
from pathlib import Path

import pytest
from filelock import FileLock

from alaas_pipeline.avala.errors import AvalaError, RateLimited
from alaas_pipeline.avala.retry import Timing
from alaas_pipeline_tests.avala.conftest import KEY, FakeTime
from alaas_pipeline_tests.avala.limiters import announced, limiter, refused


def test_limits_and_holds_are_known_to_others_and_to_later_runs(tmp_path: Path, clock: FakeTime) -> None:
    limiter(tmp_path, clock.timing).learn(announced(30))
    other = limiter(tmp_path, clock.timing)
    assert sum(refused(other) is None for _ in range(10)) == 3
    limiter(tmp_path, clock.timing).hold(500)
    assert other.blocked_for() == 500
    assert refused(other, 60) == refused(limiter(tmp_path, clock.timing), 499) == 500
    other.hold(3)
    assert other.blocked_for() == 500, "a hold is never cut short"
    clock.now += 499
    other.wait(60)
    assert clock.sleeps == [1.0]


def test_a_hold_that_is_written_while_somebody_sleeps_is_heeded(tmp_path: Path, clock: FakeTime) -> None:
    other = limiter(tmp_path, clock.timing)
    holds = [30.0, 20.0, 500.0]

    def sleep(seconds: float) -> None:
        clock._sleep(seconds)
        if holds:
            other.hold(holds.pop(0))

    one = limiter(tmp_path, Timing(clock._read, clock._read, sleep))
    one.hold(5)
    with pytest.raises(RateLimited) as caught:
        one.wait(60)
    assert clock.sleeps == [5, 30, 20]
    assert caught.value.retry_after == 500


def test_who_comes_later_is_served_later_even_if_the_limit_is_raised_meanwhile(tmp_path: Path, clock: FakeTime) -> None:
    other, seen = limiter(tmp_path, clock.timing), []

    def sleep(seconds: float) -> None:
        other.learn(announced(1_000))
        seen.append((seconds, other.blocked_for()))
        clock._sleep(seconds)

    one = limiter(tmp_path, Timing(clock._read, clock._read, sleep))
    for _ in range(11):
        one.wait(60)
    assert seen == [(1.0, 1.0)]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"null",
        b"[1]",
        b"\xff\x00\x13",
        b'{"written": NaN}',
        b'{"written": 1.8e9, "limit": 0}',
        b'{"written": 1.8e9, "held_until": 1e18}',
        b'{"written": 1.8e9, "minute": [[1e18, 80]]}',
        b'{"written": 1.8e9, "second": [[1.8e9, "many"]]}',
    ],
)
def test_a_torn_state_is_begun_anew(tmp_path: Path, clock: FakeTime, content: bytes) -> None:
    one = limiter(tmp_path, clock.timing)
    one.wait(0)
    (state,) = tmp_path.glob("*.json")
    state.write_bytes(content)
    assert sum(refused(one) is None for _ in range(12)) == 10
    assert json.loads(state.read_bytes())["limit"] == 100


def test_keys_and_servers_do_not_share_and_no_file_tells_the_key(tmp_path: Path, clock: FakeTime) -> None:
    one = limiter(tmp_path, clock.timing)
    one.hold(30)
    with one.slot("upload"):
        for other in (limiter(tmp_path, clock.timing, key="other"), limiter(tmp_path, clock.timing, "http://b:80")):
            assert other.blocked_for() == 0
    assert limiter(tmp_path, clock.timing).blocked_for() == 30
    for path in tmp_path.iterdir():
        assert KEY not in f"{path.name}{path.read_text()}"
    assert KEY not in f"{one!r}{vars(one)}"


def test_a_folder_that_cannot_be_used_stops_calls_and_loses_no_answer(
    tmp_path: Path, clock: FakeTime, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    one = limiter(tmp_path / "file" / "locks", clock.timing)
    for call in (lambda: one.wait(60), one.blocked_for, lambda: one.slot("upload").__enter__()):
        with pytest.raises(AvalaError, match=r"nothing was sent.*ALAAS_LIMITS_DIR") as caught:
            call()
        assert not caught.value.may_have_taken_effect
    one.learn(announced(50))
    one.hold(5)
    assert caplog.text.count("ALAAS_LIMITS_DIR") == 2


def test_a_huge_limit_costs_few_locks(tmp_path: Path, clock: FakeTime, monkeypatch: pytest.MonkeyPatch) -> None:
    one, taken = limiter(tmp_path, clock.timing), []
    one.learn(announced(1_000_000))
    acquire = FileLock.acquire
    monkeypatch.setattr(FileLock, "acquire", lambda lock, *a, **k: (taken.append(1), acquire(lock, *a, **k))[1])
    for _ in range(950):
        one.wait(0)
        one.learn(announced(1_000_000, remaining=900_000, reset=clock.now + 60))
    assert len(taken) == 10
    clock.now += 0.3
    one.wait(0)
    assert len(taken) == 11, "permits that were not used in time are void"
    one.hold(5)
    assert refused(one) == 5, "also for those who still had permits"
    clock.now += 5
    one.wait(0)
    one.learn(announced(100))
    assert refused(one) is not None, "permits of the old limit are void"


def test_the_state_stays_small(tmp_path: Path, clock: FakeTime) -> None:
    one = limiter(tmp_path, clock.timing)
    one.learn(announced(19_000))
    for _ in range(200):
        one.wait(0)
        clock.now += 0.02
    (file,) = tmp_path.glob("*.json")
    state = json.loads(file.read_bytes())
    assert sum(count for _, count in state["minute"]) == 200
    assert len(state["minute"]) <= 8
    assert len(state["second"]) <= 51
