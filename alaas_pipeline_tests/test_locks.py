import json
import multiprocessing
import os
import signal
import threading
import time
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.locks import locked


def hold(path: Path, held: Event) -> None:
    with locked(path, "the thing", 5):
        held.set()
        time.sleep(600)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "new folder" / "thing.lock"


def test_whoever_comes_second_is_told_who_holds_it(path: Path) -> None:
    with locked(path, "the thing", 1), pytest.raises(UserError) as caught, locked(path, "the thing", 0.05):
        pass
    told = str(caught.value)
    assert told.startswith(f"The thing was in use for 0.05 s by process {os.getpid()} (")
    assert ", for 0 s now. Nothing was changed; try again, or end that process if it hangs" in told
    with locked(path, "the thing", 0.05):
        pass


@pytest.mark.parametrize("note", [None, "", "{", "[]", "7", '{"pid": 1}', '{"pid": 1, "command": "x", "since": "y"}'])
def test_without_a_true_note_the_holder_is_another_process(path: Path, note: str | None) -> None:
    with locked(path, "the thing", 1):
        beside = path.with_name("thing.lock.holder")
        beside.unlink()
        if note is not None:
            beside.write_text(note)
        with pytest.raises(UserError, match=r"in use for 0.05 s by another process\. Nothing"), locked(path, "x", 0.05):
            pass


def test_the_note_is_short_and_holds_no_more_than_it_says(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["/opt/bin/alaas-pipeline", "run" + "x" * 200, "secret"])
    with locked(path, "the thing", 1):
        note = json.loads(path.with_name("thing.lock.holder").read_text())
    assert set(note) == {"pid", "command", "since"}
    assert note["command"].startswith("alaas-pipeline runxxx")
    assert len(note["command"]) == 80
    assert "secret" not in note["command"]


def test_a_note_that_cannot_be_written_does_not_stop_the_work(path: Path) -> None:
    path.with_name("thing.lock.holder").mkdir(parents=True)
    with locked(path, "the thing", 1), pytest.raises(UserError, match="by another process"), locked(path, "x", 0.05):
        pass


def test_a_lock_dies_with_its_process(path: Path) -> None:
    spawn = multiprocessing.get_context("spawn")
    held = spawn.Event()
    holder = spawn.Process(target=hold, args=(path, held), daemon=True)
    holder.start()
    assert held.wait(60)
    assert holder.pid is not None
    with pytest.raises(UserError, match=f"by process {holder.pid} "), locked(path, "the thing", 0.05):
        pass
    os.kill(holder.pid, signal.SIGKILL)
    holder.join(60)
    with locked(path, "the thing", 10):
        note = json.loads(path.with_name("thing.lock.holder").read_text())
    assert note["pid"] == os.getpid()


def test_threads_of_one_process_keep_each_other_out(path: Path) -> None:
    inside, most, count = 0, 0, 0
    start = threading.Barrier(3)

    def work() -> None:
        nonlocal inside, most, count
        start.wait()
        for _ in range(5):
            with locked(path, "the thing", 30):
                inside += 1
                most = max(most, inside)
                time.sleep(0.001)
                count, inside = count + 1, inside - 1

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, count) == (1, 15)


def test_it_is_let_go_when_the_block_raises(path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(path, "the thing", 1):
        _ = 1 // 0
    with locked(path, "the thing", 0.05):
        pass
