"""What a file of the corpus is, and the picture that most of them show."""

import io
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

Colour = tuple[int, int, int]

WIDTH, HEIGHT = 64, 48
RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 180, 60), (40, 60, 220), (240, 220, 40)
# Well within the quarters: top left, top right, bottom left, bottom right.
PLACES = ((4, 4), (59, 4), (4, 43), (59, 43))
QUARTERS: Mapping[tuple[int, int], Colour] = dict(zip(PLACES, (RED, GREEN, BLUE, YELLOW), strict=True))


@dataclass(frozen=True)
class Case:
    """One file.

    Attributes:
        name: its path in the folder of the corpus.
        data: its content.
        refused: a word of the reason with which it is refused; empty if it is usable.
        size: pixels across and down as shown.
        colours: what stands where, as shown.
        off: how far a value may be from that, 0 to 255.
        format: what `inspect` calls it.
        frames: pictures in it.
        unfit: usable, but not taken by the platform.
    """

    name: str
    data: bytes
    refused: str = ""
    size: tuple[int, int] = (WIDTH, HEIGHT)
    colours: Mapping[tuple[int, int], Colour] = field(default_factory=lambda: QUARTERS)
    off: int = 0
    format: str = "png"
    frames: int = 1
    unfit: bool = False


def quarters(seed: int = 0) -> Image.Image:
    """Red, green, blue and yellow; a few pixels in the middle differ from seed to seed."""
    image = Image.new("RGB", (WIDTH, HEIGHT))
    for number, colour in enumerate((RED, GREEN, BLUE, YELLOW)):
        left, top = number % 2 * WIDTH // 2, number // 2 * HEIGHT // 2
        image.paste(colour, (left, top, left + WIDTH // 2, top + HEIGHT // 2))
    grain = np.random.default_rng(seed).integers(0, 256, (4, 4, 3), dtype=np.uint8)
    image.paste(Image.fromarray(grain), (WIDTH // 2 - 2, HEIGHT // 2 - 2))
    return image


def noise(seed: int, width: int = 160, height: int = 120) -> Image.Image:
    """A picture with detail everywhere, so that what is cut off is seen to be missing."""
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(width: int, height: int, depth: int, color: int, body: bytes, *before: bytes, interlaced: int = 0) -> bytes:
    """A PNG by hand; `before` are chunks between header and pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, interlaced))
    return b"".join([b"\x89PNG\r\n\x1a\n", header, *before, chunk(b"IDAT", zlib.compress(body)), chunk(b"IEND", b"")])


def segment(marker: int, data: bytes) -> bytes:
    """A segment of JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(data) + 2) + data


def tiff(tags: dict[int, tuple[int, int, int]], body: bytes = b"", at: int = 512) -> bytes:
    """A TIFF by hand: tag -> type, count, value or place; the body begins at a fixed place."""
    entries = b"".join(
        struct.pack("<HHI", tag, kind, count) + struct.pack("<HH" if (kind, count) == (3, 1) else "<I", *((value, 0) if (kind, count) == (3, 1) else (value,)))
        for tag, (kind, count, value) in sorted(tags.items())
    )  # fmt: skip
    return (b"II*\0\x08\0\0\0" + struct.pack("<H", len(tags)) + entries + bytes(4)).ljust(at, b"\0") + body


def retagged(data: bytes, tag: int, value: int) -> bytes:
    """A little-endian TIFF with another value of a short tag in its first directory."""
    changed, place = bytearray(data), struct.unpack_from("<I", data, 4)[0]
    for number in range(struct.unpack_from("<H", data, place)[0]):
        entry = place + 2 + 12 * number
        if struct.unpack_from("<H", data, entry)[0] == tag:
            struct.pack_into("<H", changed, entry + 8, value)
            return bytes(changed)
    raise ValueError(f"there is no tag {tag}")
