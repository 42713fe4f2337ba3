import threading
from collections.abc import Callable
from functools import partial

import pytest

from alaas_pipeline.engine.read_ahead import THREADS, ReadAhead


def test_files_of_a_slow_store_are_waited_for_together() -> None:
    together = threading.Barrier(THREADS, timeout=30)

    def read() -> bytes:
        together.wait()
        return b"x"

    with ReadAhead() as reads:
        waits = [reads.start(read, 1) for _ in range(THREADS)]
        assert [wait() for wait in waits] == [b"x"] * THREADS


def test_no_more_than_fits_is_read_ahead() -> None:
    def begin(size: int) -> list[Callable[[], bytes]]:
        held = []
        while reads.room:
            held.append(reads.start(lambda: b"a", size))
        return held

    with ReadAhead(most_bytes=1000) as reads:
        held = begin(300)
        assert len(held) == 4, "one more than fits"
        held.pop()()
        assert reads.room
    with ReadAhead(most_bytes=1000) as reads:
        assert len(begin(1)) == 2 * THREADS
    with ReadAhead() as reads:
        assert len(begin(20_000_000)) == 2 * THREADS, "that are not even read"
    with ReadAhead() as reads:
        assert len(begin(0)) == 8, "of unknown sizes"


def test_a_large_file_is_read_by_who_needs_it() -> None:
    def read() -> bytes:
        return threading.current_thread().name.encode()

    with ReadAhead() as reads:
        assert reads.start(read, 1)().startswith(b"read")
        assert reads.start(read, 20_000_000)() == threading.current_thread().name.encode()


def test_what_reading_raises_reaches_who_needs_the_file() -> None:
    def gone() -> bytes:
        raise FileNotFoundError("a.png")

    with ReadAhead() as reads:
        wait = reads.start(gone)
        with pytest.raises(FileNotFoundError, match=r"a\.png"):
            wait()
        assert reads.room


def test_a_row_of_files_comes_in_order_within_its_bounds() -> None:
    begun: list[int] = []

    def file(number: int) -> bytes:
        begun.append(number)
        return b"%d" % number

    with ReadAhead() as reads:
        for number, read in enumerate(reads.ahead(partial(file, number) for number in range(100))):
            assert read() == b"%d" % number
            assert len(begun) <= number + 1 + 2 * THREADS
