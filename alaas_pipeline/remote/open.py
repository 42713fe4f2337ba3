"""From an address to the objects there."""

import re
from collections.abc import Callable
from typing import Any

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote.objects import Objects
from alaas_pipeline.remote.s3 import Bucket, connect
from alaas_pipeline.remote.schemes import Files


def on_this_machine(text: str) -> str | None:
    """Return the path that a text names without a scheme or with `file://`; None for an address elsewhere."""
    scheme, separator, rest = text.partition("://")
    if not separator:
        return text
    return rest if scheme.lower() == "file" else None


def split_url(url: str) -> tuple[str, str, str]:
    """Return scheme (in small letters), place (bucket or host) and key of `scheme://place/key`.

    Raises:
        UserError: it is no such address, or has keys or a signature in it; the text is not repeated then.
    """
    scheme, separator, rest = url.partition("://")
    place, _, key = rest.partition("/")
    if not separator or not re.fullmatch(r"[A-Za-z][A-Za-z0-9+.-]*", scheme):
        raise UserError("An address is written scheme://place/path, for example s3://bucket/prefix.")
    scheme = scheme.lower()
    if scheme == "s3" and not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{1,254}", place):
        # People write keys in front of an @.
        raise UserError("An S3 address needs a valid bucket name: s3://bucket/prefix, with no keys in it.")
    if not place or "@" in place:
        raise UserError(f"An address of the kind {scheme}:// names a place and holds no passwords or keys.")
    return scheme, place, key


def open_objects(scheme: str, place: str, name: str = "", client: Callable[[], Any] = connect) -> Objects:
    """Return the objects of a bucket, a host, or what else the scheme calls a place.

    Args:
        scheme: `s3`, or one that fsspec knows.
        place: bucket or host.
        name: how messages call what is read or written; the address when left out.
        client: makes a client of S3.

    Raises:
        UserError: the scheme is unknown, or its package is not installed.
    """
    if scheme == "s3":
        return Bucket(client, place, name)
    return Files(f"{scheme}://{place}", name)
