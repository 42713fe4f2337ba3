"""Files read ahead of those who need them."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

# As many connections as clients of S3 keep open.
THREADS: Final = 10
_MOST_BYTES: Final = 128 * 1024 * 1024
# What the next file is taken to have is the most that one of so many had, and this before the first.
_REMEMBERED: Final = 64
_FIRST_GUESS: Final = 16 * 1024 * 1024


class ReadAhead:
    """Reads files in threads of its own, so that a distant store is waited for once and not file by file.

    Use as a context manager: leaving it drops what was not begun. Ask for `room` before each `start`, and hand files
    out in the order they were started, or memory is not bounded.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        """Takes the bytes that may be held at once, unless a single file has more."""
        self._most = most_bytes
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="read")
        self._lock = threading.Lock()
        self._sizes = deque([_FIRST_GUESS], maxlen=_REMEMBERED)
        self._open = 0

    @property
    def room(self) -> bool:
        """Whether another file may be started."""
        with self._lock:
            return self._open < max(1, min(2 * THREADS, self._most // max(1, *self._sizes)))

    def start(self, read: Callable[[], bytes]) -> Callable[[], bytes]:
        """Begins to read; what it returns waits for the bytes, or raises what `read` raised, and is called once."""
        with self._lock:
            self._open += 1
        future = self._pool.submit(read)
        return lambda: self._take(future)

    def ahead(self, reads: Iterable[Callable[[], bytes]]) -> Iterator[Callable[[], bytes]]:
        """Starts one after the other while there is room; each is to be called before the next is asked for."""
        begun: deque[Callable[[], bytes]] = deque()
        for read in reads:
            while not self.room:
                yield begun.popleft()
            begun.append(self.start(read))
        yield from begun

    def _take(self, future: "Future[bytes]") -> bytes:
        size = None
        try:
            data = future.result()
            size = len(data)
            return data
        finally:
            with self._lock:
                self._open -= 1
                if size is not None:
                    self._sizes.append(size)

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the reads that were begun, and drops the others."""
        self._pool.shutdown(cancel_futures=True)
