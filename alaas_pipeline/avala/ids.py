"""Ids and names on their way into a URL path.

Avala documents its ids as UUIDs, yet its own examples are not always: they are opaque here, within a safe
alphabet.
"""

import re
from urllib.parse import quote
from uuid import UUID

from alaas_pipeline.errors import UserError

_UID = re.compile(r"[A-Za-z0-9_-]{1,64}")
_UNSAFE = re.compile(r"[\x00-\x20\x7f-\x9f/\\%?#:\u2028\u2029]")


def uid_segment(uid: str) -> str:
    """Check an id of the service before it becomes part of a path.

    Raises:
        UserError: if it holds anything but letters, digits, ``_`` and ``-``, or more than 64 characters.
    """
    if not _UID.fullmatch(uid):
        raise UserError(
            f"{uid[:80]!r} is not an Avala id: expected 1 to 64 letters, digits, '_' or '-'. "
            "Copy the id as Avala shows it."
        )
    return uid


def name_segment(name: str) -> str:
    """Percent-encode an owner (slug, handle or e-mail address) or a slug for use in a path.

    Raises:
        UserError: if it is empty, longer than 200 characters, a dot segment, or holds separators or controls.
    """
    if not name or len(name) > 200 or not name.strip(".") or _UNSAFE.search(name):
        raise UserError(f"{name[:80]!r} cannot be an Avala owner or slug: use the name as in Avala's own addresses.")
    return quote(name, safe="")


def same_uid(one: str, other: str) -> bool:
    """Whether two ids are the same: as UUIDs when both are, else character by character."""
    try:
        return UUID(one) == UUID(other)
    except ValueError:
        return one == other
