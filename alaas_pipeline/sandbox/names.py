"""How an image is recognised that was uploaded under a name of its own: by what it may be called, or by content."""

import hashlib
import unicodedata
from pathlib import Path, PurePosixPath

FOLD = "__"


def names_of(path: str) -> list[str]:
    """What a table may call an uploaded image, the surest name first."""
    whole = PurePosixPath(nfc(path))
    names = [whole.as_posix(), whole.name, whole.stem]
    parts = whole.stem.split(FOLD)
    if len(parts) >= 2:
        origin = "/".join(parts[:-1])
        names += [origin + whole.suffix, origin, parts[-2] + whole.suffix, parts[-2]]
    return names


def nfc(text: str) -> str:
    """Composed Unicode: file systems disagree about how an accent is stored."""
    return unicodedata.normalize("NFC", text)


def sha256(path: Path) -> str:
    """SHA-256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
