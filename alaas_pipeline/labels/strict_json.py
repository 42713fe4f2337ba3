"""JSON from outside, read so that nothing ambiguous passes unseen.

Readers of JSON silently keep the last of two equal names, some accept NaN, and a number of a thousand digits is
another trap. Here such values survive parsing as marks, so that they cost the record they stand in and no other.
"""

import json
import math
from typing import Any

_LEVELS = 32
# More digits do not fit into 64 bits.
_DIGITS = 18


class Twice(dict[str, Any]):
    """An object that names a field more than once; ``pairs`` has all of them."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__(pairs)
        self.pairs = pairs


def parse(content: bytes) -> Any:
    """Parse a document. Numbers that are not finite or too long become NaN; `fault_of` finds them, and `Twice`.

    Raises:
        ValueError: if it is no JSON in UTF-8, or nests too deeply to be read at all.
    """
    try:
        return json.loads(content.decode("utf-8-sig"), object_pairs_hook=_object, parse_int=_whole)
    except RecursionError:
        pass
    raise ValueError("it nests too deeply")


def fault_of(value: Any) -> str | None:
    """Say why parsed data is not to be trusted, or None. Found without recursion."""
    layer = [value]
    for _ in range(_LEVELS + 1):
        below: list[Any] = []
        for entry in layer:
            if isinstance(entry, Twice):
                return "an object in it names one field twice"
            if isinstance(entry, dict):
                below.extend(entry.values())
                below.extend(entry)
            elif isinstance(entry, list):
                below.extend(entry)
            elif isinstance(entry, float) and not math.isfinite(entry):
                return f"a number in it is not finite or has more than {_DIGITS} digits"
            elif isinstance(entry, str) and not _is_unicode(entry):
                return "a text in it is no valid Unicode"
        if not below:
            return None
        layer = below
    return f"it nests deeper than {_LEVELS} levels"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    return found if len(found) == len(pairs) else Twice(pairs)


def _whole(digits: str) -> int | float:
    return int(digits) if len(digits) <= _DIGITS else math.nan


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
