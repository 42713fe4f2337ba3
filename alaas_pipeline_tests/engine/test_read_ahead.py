import threading
from functools import partial

import pytest

from alaas_pipeline.engine.read_ahead import THREADS, ReadAhead


def test_files_of_a_slow_store_are_waited_for_together() -> None:
    together = threading.Barrier(THREADS, timeout=30)

    def read() -> bytes:
        together.wait()
        return b"x"

    with ReadAhead() as reads:
        # The first ones tell how large files are here.
        assert reads.start(lambda: b"y")() == b"y"
        waits = [reads.start(read) for _ in range(THREADS)]
        assert [wait() for wait in waits] == [b"x"] * THREADS


def test_no_more_than_fits_is_read_ahead() -> None:
    with ReadAhead(most_bytes=1000) as reads:
        assert reads.room
        first = reads.start(lambda: b"a" * 300)
        assert not reads.room, "a first file may be large"
        first()
        for _ in range(64):
            assert reads.start(lambda: b"a" * 300)()
        held = []
        while reads.room:
            held.append(reads.start(lambda: b"a" * 300))
        assert len(held) == 3
        held[0]()
        assert reads.room


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
