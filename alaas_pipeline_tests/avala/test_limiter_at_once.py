"""Processes and threads at once: they share one limit and the slots, and who dies keeps none."""

import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import chain
from pathlib import Path

import pytest

from alaas_pipeline.avala.allowance import State
from alaas_pipeline.avala.errors import RateLimited
from alaas_pipeline.avala.limiter import SLOTS
from alaas_pipeline_tests.avala.conftest import KEY, FakeTime
from alaas_pipeline_tests.avala.limiters import ORIGIN, announced, limiter, refused
from alaas_pipeline_tests.sandbox_process import API_KEY, SandboxProcess


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
