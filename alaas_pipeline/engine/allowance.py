"""An amount that the threads of a process share."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Allowance:
    """Lets threads take parts of an amount and makes them wait until there is enough.

    Attributes:
        whole: What may be taken at once. A larger wish is let through alone.
    """

    def __init__(self, whole: int) -> None:
        self.whole, self._taken = whole, 0
        self._changed = threading.Condition()

    @contextmanager
    def take(self, part: int) -> Iterator[None]:
        """Holds a part; a thread that holds one must not ask for a second."""
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + part <= self.whole)
            self._taken += part
        try:
            yield
        finally:
            with self._changed:
                self._taken -= part
                self._changed.notify_all()
