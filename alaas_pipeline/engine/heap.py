"""Memory that was freed, handed back to the system."""

import ctypes
from functools import cache
from typing import Any


def give_back() -> None:
    """Hands back what the C library keeps of freed memory, for each thread; does nothing where it cannot be told to."""
    if trim := _trim():
        trim(0)


@cache
def _trim() -> Any:
    try:
        # Of glibc alone: https://man7.org/linux/man-pages/man3/malloc_trim.3.html
        return ctypes.CDLL(None).malloc_trim
    except (AttributeError, OSError, TypeError):
        return None
