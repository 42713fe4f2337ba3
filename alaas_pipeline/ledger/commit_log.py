"""A line of text for each commit, beside the ledger: what is in it and not in the ledger was lost.

DuckDB drops the torn end of a write-ahead file without a word. The log is written after the commit, so it never tells of one that did not
happen; at every opening its last number is compared with the ledger's.
"""

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MAX_BYTES = 8 << 20
# The end of the file that mostly holds the last line.
_TAIL = 1 << 12


@dataclass(frozen=True)
class Commit:
    """One logged commit: its number, when it was made (ISO 8601, UTC), and what it changed, in short lines."""

    number: int
    at: str
    what: tuple[str, ...]


class CommitLog:
    """The log of one ledger file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def last(self) -> int:
        """Return the number of the last commit that is logged whole; 0 when there is none."""
        for tail in (_TAIL, None):
            for commit in self._read(tail, newest_first=True):
                return commit.number
        return 0

    def since(self, number: int) -> list[Commit]:
        """Return the logged commits after `number`, oldest first."""
        return [commit for commit in self._read() if commit.number > number]

    def append(self, commit: Commit) -> None:
        """Write one line, on the disk when this returns."""
        self._shorten()
        line = json.dumps({"n": commit.number, "at": commit.at, "what": commit.what}, ensure_ascii=False)
        # The line break comes first: a line that a crash has torn stays by itself.
        handle = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            left = f"\n{line}".encode()
            while left:  # a disk that fills up takes a part first, and complains at the next
                left = left[os.write(handle, left) :]
            os.fsync(handle)
        finally:
            os.close(handle)

    def _read(self, tail: int | None = None, *, newest_first: bool = False) -> Iterator[Commit]:
        try:
            with self.path.open("rb") as file:
                if tail is not None:
                    file.seek(max(0, self.path.stat().st_size - tail))
                lines = file.read().split(b"\n")
        except FileNotFoundError:
            return
        for line in reversed(lines) if newest_first else lines:
            try:
                entry = json.loads(line)
                yield Commit(entry["n"], entry["at"], tuple(entry["what"]))
            except (ValueError, KeyError, TypeError):
                continue

    def _shorten(self) -> None:
        """Keep the newer half of a log that has grown long."""
        try:
            if self.path.stat().st_size <= MAX_BYTES:
                return
        except FileNotFoundError:
            return
        kept = self.path.read_bytes()[-MAX_BYTES // 2 :].partition(b"\n")[2]
        scratch = self.path.with_name(f"{self.path.name}.new")
        scratch.write_bytes(kept)
        os.replace(scratch, self.path)
