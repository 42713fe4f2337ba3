"""The names of our remote objects: deterministic, so that an object can be found again after a lost answer."""

import re
import unicodedata
from pathlib import PurePosixPath

from alaas_pipeline.avala.fitness import suffix_for

MAX_NAME = 100
RESERVED = '/\\:*?"<>|%#&+;='


def remote_name(round_key: str, manifest_digest: str) -> str:
    """Return the name of a round's dataset and project: pool, round and manifest digest, at most 100 characters."""
    pool, number = round_key.split(".")
    return f"alaas-{pool}-{number}-{manifest_digest[:12]}"


def file_name(image_id: str, digest: str, format: str) -> str:
    """Return the flat, unique name an image is uploaded under; labels are joined on it.

    `cats/sleeping/photo 1.PNG` becomes `cats__sleeping__photo 1__<16 hex>.png`: folders stay readable to
    annotators, the digest makes it unique, the suffix is that of the content.
    """
    path = PurePosixPath(unicodedata.normalize("NFC", image_id))
    folders = [_plain(part) for part in path.parts[:-1]]
    shown = [*(_cut(part, 80) for part in folders[:1]), *(_cut(part, 60) for part in folders[1:][-1:])]
    return "__".join([*shown, _cut(_plain(path.stem), 60), digest[:16]]) + suffix_for(format)


def _plain(text: str) -> str:
    """Keep what people can read in any script; replace what paths, forms or addresses give a meaning of their own."""
    kept = "".join(char if char.isprintable() and char not in RESERVED else "_" for char in text)
    return re.sub(r"_+", "_", kept).strip(" ._") or "image"


def _cut(text: str, size: int) -> str:
    """Cut to a number of UTF-8 bytes, at a character."""
    return text.encode()[:size].decode(errors="ignore").strip(" ._") or "image"
