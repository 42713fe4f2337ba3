"""What all services of objects have in common."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol


class ObjectRefused(Exception):
    """One object cannot be had; the others can.

    Attributes:
        reason: `missing`, `too_large`, `access_denied`, `archived` or `changed_while_reading`.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True)
class Found:
    """One object as the service tells of it.

    Attributes:
        key: its name, as `Objects.read` takes it.
        bytes: size in bytes (0 where it is not known).
        version: changes whenever the content may have changed.
    """

    key: str
    bytes: int
    version: str


class Objects(Protocol):
    """Files by name, read and written whole."""

    def list(self, prefix: str = "") -> Iterator[Found]:
        """Yield what stands below a prefix that is empty or ends in `/`; memory does not grow with their number.

        Raises:
            UserError: the service or the place is not there, or closed to us.
        """
        ...

    def look(self, key: str) -> Found:
        """Tell of one object without reading it.

        Raises:
            ObjectRefused: it is missing or closed to us.
            UserError: as in `list`.
        """
        ...

    def read(self, key: str, max_bytes: int | None = None, version: str = "") -> bytes:
        """Return the content of one object: with a version, of that one and no other.

        Raises:
            ObjectRefused: it is missing, closed to us, larger than `max_bytes`, or has changed.
            UserError: as in `list`.
        """
        ...

    def write(self, key: str, data: bytes) -> None:
        """Put one object there, whole or not at all, in the place of an earlier one.

        Raises:
            UserError: it cannot be written.
        """
        ...
