"""One limit for all processes of a key: never above it, never stuck, whatever happens to clocks, files and processes."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest
from filelock import FileLock
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import SecretStr

from alaas_pipeline.avala.allowance import State
from alaas_pipeline.avala.errors import AvalaError, RateLimited
from alaas_pipeline.avala.limiter import SLOTS, Limiter
from alaas_pipeline.avala.retry import Timing
from alaas_pipeline_tests.avala.conftest import KEY, FakeTime
from alaas_pipeline_tests.sandbox_process import API_KEY, SandboxProcess

ORIGIN = "https://api.example.test:443"
NOT_AT_ALL = 0.0
FIRST = 1_800_000_000.0


def limiter(folder: Path | None, timing: Timing | None = None, origin: str = ORIGIN, key: str = KEY) -> Limiter:
    return Limiter(folder, origin, SecretStr(key), timing or Timing())


def announced(limit: object, remaining: object = None, reset: object = None) -> dict[str, str]:
    values = {"Limit": limit, "Remaining": remaining, "Reset": reset}
    return {f"X-RateLimit-{name}": str(value) for name, value in values.items() if value is not None}


def refused(one: Limiter, longest_s: float = NOT_AT_ALL) -> float | None:
    """Seconds after which to come back, or None when a permit was given."""
    try:
        one.wait(longest_s)
    except RateLimited as error:
        return error.retry_after
    return None


def most_within(moments: list[float], seconds: float) -> int:
    """The most moments in any window of this length."""
    moments = sorted(moments)
    # Moments near 1.8e9 s are rounded to less than a microsecond.
    return max(sum(first <= moment < first + seconds - 1e-5 for moment in moments) for first in moments)


@pytest.fixture(params=["files", "memory"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path | None:
    return tmp_path if request.param == "files" else None


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


def test_permits_taken_two_at_a_time_count_when_they_are_used_at_the_latest(clock: FakeTime) -> None:
    one = limiter(None, clock.timing)
    one.learn(announced(20_000))
    one.wait(0)
    clock.now += 0.25
    one.wait(0)
    clock.now += 0.75
    assert sum(refused(one) is None for _ in range(2_100)) == 1_998, "2,000 within the second that began with the other"


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


def test_slots_are_shared_and_given_back(folder: Path | None, clock: FakeTime) -> None:
    one = limiter(folder, clock.timing)
    other = limiter(folder, clock.timing) if folder else one
    entered = [one.slot("upload") for _ in range(SLOTS["upload"])]
    for slot in entered:
        slot.__enter__()
    with pytest.raises(RateLimited, match="All 6 places for an upload") as caught, other.slot("upload", 2.0):
        raise AssertionError
    assert caught.value.retry_after > 0
    assert sum(clock.sleeps) == pytest.approx(2.0)
    with other.slot("export", 0), other.slot("export", 0), pytest.raises(RateLimited), other.slot("export", 0):
        raise AssertionError
    with pytest.raises(ZeroDivisionError), other.slot("export", 0):
        raise ZeroDivisionError
    with other.slot("export", 0), other.slot("export", 0):
        pass
    entered.pop().__exit__(None, None, None)
    with other.slot("upload", 0):
        pass


def start(code: str, *arguments: object) -> subprocess.Popen[str]:
    root = str(Path(__file__).resolve().parents[2])
    command = [sys.executable, "-c", f"{HEAD}{code}", root, *map(str, arguments)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True)


def together(processes: list[subprocess.Popen[str]]) -> list[list]:
    """Let all begin at once, and return what each wrote."""
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    written = [json.loads(process.communicate(timeout=60)[0]) for process in processes]
    assert [process.returncode for process in processes] == [0] * len(processes)
    return written


HEAD = """
import json, sys, threading, time
sys.path.insert(0, sys.argv[1])
from pathlib import Path
from pydantic import SecretStr
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.errors import RateLimited
from alaas_pipeline.avala.limiter import Limiter
from alaas_pipeline.avala.retry import RetryPolicy, Timing
def go():
    print("ready", flush=True)
    sys.stdin.readline()
"""

COUNT = """
one, moments = Limiter(Path(sys.argv[2]), sys.argv[3], SecretStr(sys.argv[4]), Timing()), []
go()
until = time.monotonic() + 1.2
def work():
    while time.monotonic() < until:
        one.wait(30)
        moments.append(time.time())
threads = [threading.Thread(target=work) for _ in range(2)]
[thread.start() for thread in threads]
[thread.join() for thread in threads]
print(json.dumps(moments))
"""


def test_processes_and_threads_share_one_limit(tmp_path: Path) -> None:
    limiter(tmp_path).learn(announced(200))
    moments = sorted(chain(*together([start(COUNT, tmp_path, ORIGIN, KEY) for _ in range(3)])))
    span = moments[-1] - moments[0]
    assert 15 <= len(moments) <= 20 * (span + 1), "20 a second, where six threads alone would make 120"


HANG = """
with Limiter(Path(sys.argv[2]), sys.argv[3], SecretStr(sys.argv[4]), Timing()).slot("export"):
    go()
"""


def test_a_slot_ends_with_its_process(tmp_path: Path, clock: FakeTime) -> None:
    one = limiter(tmp_path, clock.timing)
    process = start(HANG, tmp_path, ORIGIN, KEY)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    with one.slot("export", 0):
        with pytest.raises(RateLimited), one.slot("export", 0):
            raise AssertionError
        process.kill()
        process.communicate()
        with one.slot("export", 0):
            pass


CALL = """
client = AvalaClient(
    sys.argv[3], SecretStr(sys.argv[4]), allow_insecure_loopback=True, limits=Path(sys.argv[2]),
    retry=RetryPolicy(attempts=1, longest_wait_s=3),
)
statuses = []
client.transport._http.event_hooks["response"].append(lambda response: statuses.append(response.status_code))
go()
try:
    while True:
        client.me()
except RateLimited:
    print(json.dumps(statuses))
"""


def test_three_processes_never_meet_the_servers_own_limit(tmp_path: Path) -> None:
    with SandboxProcess() as sandbox:
        sandbox.start(tmp_path / "state", requests_per_minute=100, burst_per_second=20)
        earlier = FakeTime(time.time() - 35)
        run = limiter(tmp_path / "limits", earlier.timing, sandbox.base_url.removesuffix("/api/v1"), API_KEY)
        for _ in range(30):
            run.wait(60)
        answers = together([start(CALL, tmp_path / "limits", sandbox.base_url, API_KEY) for _ in range(3)])
    assert list(chain(*answers)) == [200] * 50, "30 more were made by the run before"
    assert all(len(each) > 10 for each in answers), "all had their share"


def test_threads_of_one_object_share_it_as_well(
    folder: Path | None, clock: FakeTime, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, look = limiter(folder, clock.timing), State.next_free

    def slowly(state: State, now: float, count: int) -> float:
        found = look(state, now, count)
        time.sleep(0.002)
        return found

    monkeypatch.setattr(State, "next_free", slowly)
    with ThreadPoolExecutor(8) as threads:
        answers = list(threads.map(lambda _: refused(one), range(40)))
    assert answers.count(None) == 10
