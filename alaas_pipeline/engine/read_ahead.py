"""Files read ahead of those who need them."""

import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from types import TracebackType
from typing import Final, Self

# As many connections as clients of S3 keep open.
THREADS: Final = 10
_MOST_BYTES: Final = 64 * 1024 * 1024
# Larger files are read by those who need them, since the C library keeps about as much for each thread. So much a file
# has whose size nobody tells.
_LARGE: Final = 8 * 1024 * 1024


class ReadAhead:
    """Reads files in threads of its own, so that a distant store is waited for once and not file by file.

    Use as a context manager: leaving it drops what was not begun. Ask for `room` before each `start`, and hand files
    out in the order they were started, or memory is not bounded.
    """

    def __init__(self, most_bytes: int = _MOST_BYTES) -> None:
        """Takes the bytes that may be under way when another file is begun."""
        self._most = most_bytes
        self._pool = ThreadPoolExecutor(THREADS, thread_name_prefix="read")
        self._lock = threading.Lock()
        self._files = self._bytes = 0

    @property
    def room(self) -> bool:
        """Whether another file may be started."""
        with self._lock:
            return self._files < 2 * THREADS and self._bytes < self._most

    def start(self, read: Callable[[], bytes], size: int = 0) -> Callable[[], bytes]:
        """Begins to read.

        Args:
            read: Returns the bytes; called in another thread.
            size: How many they will be; 0 where nobody knows.

        Returns:
            What waits for the bytes, or raises what `read` raised; to be called once. Large files are only read then.
        """
        large = size > _LARGE
        size = 0 if large else size or _LARGE
        self._count(1, size)
        begin = read if large else self._pool.submit(read).result

        def take() -> bytes:
            try:
                return begin()
            finally:
                self._count(-1, -size)

        return take

    def _count(self, files: int, size: int) -> None:
        with self._lock:
            self._files += files
            self._bytes += size

    def ahead(self, reads: Iterable[Callable[[], bytes]]) -> Iterator[Callable[[], bytes]]:
        """Starts one after the other while there is room; each is to be called before the next is asked for."""
        begun: deque[Callable[[], bytes]] = deque()
        for read in reads:
            while not self.room:
                yield begun.popleft()
            begun.append(self.start(read))
        yield from begun

    def __enter__(self) -> Self:
        """Returns itself."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Waits for the reads that were begun, and drops the others."""
        self._pool.shutdown(cancel_futures=True)
