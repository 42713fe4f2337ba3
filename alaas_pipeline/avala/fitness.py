"""Which image files can be labelled: what Avala indexes and the pool service takes, intersected."""

from typing import NamedTuple

MAX_IMAGE_BYTES = 20_000_000
"""Avala's guidance for one image, in bytes (https://docs.avala.ai, best practices)."""


class _Format(NamedTuple):
    suffix: str
    content_type: str


_FORMATS = {
    "jpeg": _Format(".jpg", "image/jpeg"),
    "png": _Format(".png", "image/png"),
    "webp": _Format(".webp", "image/webp"),
    "bmp": _Format(".bmp", "image/bmp"),
    "tiff": _Format(".tiff", "image/tiff"),
}
# What Pillow calls a JPEG with several frames, and common short names.
_ALIASES = {"jpg": "jpeg", "mpo": "jpeg", "tif": "tiff"}


def _look_up(format: str) -> _Format | None:
    name = format.lower()
    return _FORMATS.get(_ALIASES.get(name, name))


def _required(format: str) -> _Format:
    found = _look_up(format)
    if found is None:
        raise ValueError(f"{format!r} is not a format that can be labelled")
    return found


def platform_refusal(format: str, bytes: int) -> str | None:
    """Say why an image cannot be labelled on the platform, or ``None`` if it can.

    Args:
        format: the format of the content (not of the file name) as Pillow names it, in any case.
        bytes: size of the file in bytes.
    """
    if _look_up(format) is None:
        return f"format {format.lower() or 'unknown'} is not accepted by the platform: {', '.join(_FORMATS)} are"
    if bytes > MAX_IMAGE_BYTES:
        return f"{bytes / 1e6:.1f} MB exceed the platform's {MAX_IMAGE_BYTES / 1e6:.0f} MB per image"
    return None


def suffix_for(format: str) -> str:
    """The file suffix, with its dot, under which the platform indexes this format.

    Raises:
        ValueError: if the platform does not take the format.
    """
    return _required(format).suffix


def content_type_for(format: str) -> str:
    """The media type of this format.

    Raises:
        ValueError: if the platform does not take the format.
    """
    return _required(format).content_type
