"""The structure of a file, looked through before Pillow opens it.

For two reasons. Pillow passes over damage that the format itself can tell: it never compares the checksums of
PNG's pixels. And it takes headers, chunks, blocks and strips one by one in Python, some of them in quadratic
time, so that a file of a few megabytes can hold a process for minutes; the limits here bound that to seconds
and are far from what cameras and programs write.
"""

import re
import struct
import zlib
from typing import Final

from alaas_pipeline.engine.refusals import RefusedImage, truncated

# Pillow takes 10 us for a chunk of PNG, 4 us for a segment of JPEG, 20 us for a strip of TIFF.
MOST_PARTS: Final = 100_000
# 3 us; what a GIF of 200 MB has at least is 800,000.
MOST_GIF_BLOCKS: Final = 1_000_000
# Bytes before the pixels of a JPEG, and what of them is no segment, which is skipped byte by byte.
MOST_JPEG_HEADER: Final = 20 * 1024 * 1024
MOST_JPEG_JUNK: Final = 1024 * 1024
# Pillow joins them in quadratic time; one is 64 KiB.
MOST_EXIF_SEGMENTS: Final = 100
# Each goes over the whole picture; progressive files have about ten.
MOST_JPEG_SCANS: Final = 100
# Pixels and bytes: BMP with run lengths is decoded in Python, 1 us a run.
MOST_RUN_LENGTH_BMP: Final = 4_000_000

_MARKER: Final = re.compile(rb"\xff[\x01-\xcf\xd8-\xfe]")
_STRIPS: Final = frozenset({273, 279, 324, 325})
_BYTE_TYPES: Final = frozenset({1, 2, 6, 7})


def check_structure(data: bytes) -> None:
    """Looks through the structure of a PNG, JPEG, GIF, TIFF or BMP; anything else passes.

    Args:
        data: The whole file.

    Raises:
        RefusedImage: It is cut off, damaged, or takes far too long to open.
    """
    if data.startswith(b"\x89PNG\r\n\x1a\n"):
        _check_png(data)
    elif data.startswith(b"\xff\xd8\xff"):
        jpeg_end(data)
    elif data.startswith((b"GIF87a", b"GIF89a")):
        _check_gif(data)
    elif data.startswith((b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")):
        _check_tiff(data)
    elif data.startswith(b"BM"):
        _check_bmp(data)


def jpeg_end(data: bytes) -> int | None:
    """Finds the marker that ends the first picture of a JPEG.

    Returns:
        Its place, or None in a file that is cut off.

    Raises:
        RefusedImage: The JPEG takes far too long to open.
    """
    at, parts, junk, exif, scans = 2, 0, 0, 0, 0
    while found := _MARKER.search(data, at):
        parts += 1
        if not scans:
            junk += found.start() - at
        at, kind = found.end(), data[found.end() - 1]
        if kind == 0xD9:
            return found.start()
        if kind in (0x01, 0xD8):
            continue
        exif += kind == 0xE1 and data[at + 2 : at + 6] == b"Exif"
        scans += kind == 0xDA
        at += max(2, int.from_bytes(data[at : at + 2], "big"))
        header = at if not scans else 0
        if (
            parts > MOST_PARTS
            or junk > MOST_JPEG_JUNK
            or exif > MOST_EXIF_SEGMENTS
            or scans > MOST_JPEG_SCANS
            or header > MOST_JPEG_HEADER
        ):
            raise _too_complex("JPEG")
    return None


def webp_size(data: bytes) -> tuple[int, int] | None:
    """Size in a WebP header: the decoder sets its canvas aside on opening, before Pillow reports a size."""
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or len(data) < 30:
        return None
    kind = data[12:16]
    if kind == b"VP8X":
        return int.from_bytes(data[24:27], "little") + 1, int.from_bytes(data[27:30], "little") + 1
    if kind == b"VP8L":
        bits = int.from_bytes(data[21:25], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    width, height = struct.unpack("<HH", data[26:30])
    return width & 0x3FFF, height & 0x3FFF


def _check_png(data: bytes) -> None:
    at, view = 8, memoryview(data)
    for _ in range(MOST_PARTS):
        length, kind = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8]
        end = at + 12 + length
        if end > len(data):
            raise truncated()
        # Small first letter: may be passed over, and Pillow compares those itself.
        if not kind[0] & 32 and zlib.crc32(view[at + 4 : end - 4]) != int.from_bytes(data[end - 4 : end], "big"):
            raise RefusedImage("damaged", "A checksum in the file is wrong: it is damaged, copy it again.")
        if kind == b"IEND":
            return
        at = end
    raise _too_complex("PNG")


def _check_gif(data: bytes) -> None:
    flags = data[10] if len(data) > 10 else 0
    at, blocks = 13 + (3 << (flags % 8 + 1) if flags & 128 else 0), 0
    while at < len(data) and data[at] != 0x3B:
        kind = data[at]
        if kind == 0x2C:
            flags = data[at + 9] if at + 9 < len(data) else 0
            at += 11 + (3 << (flags % 8 + 1) if flags & 128 else 0)
        else:
            at += 2 if kind == 0x21 else 1
        while kind in (0x21, 0x2C) and at < len(data) and data[at] and blocks <= MOST_GIF_BLOCKS:
            at, blocks = at + 1 + data[at], blocks + 1
        at, blocks = at + (kind in (0x21, 0x2C)), blocks + 1
        if blocks > MOST_GIF_BLOCKS:
            raise _too_complex("GIF")


def _check_tiff(data: bytes) -> None:
    order = "<" if data[:2] == b"II" else ">"
    big = 43 in data[2:4]
    # How the place of a directory, its count of entries, and an entry are written.
    place, count, entry = (order + kind for kind in (("Q", "Q", "HHQ8x") if big else ("L", "H", "HHL4x")))
    at, seen, entries = _number(data, place, 8 if big else 4), set[int](), 0
    while at and at not in seen:
        seen.add(at)
        start = at + struct.calcsize(count)
        number = _number(data, count, at)
        end = start + number * struct.calcsize(entry)
        if end > len(data):
            raise truncated()
        entries += number + 1
        tags = () if entries > MOST_PARTS else struct.iter_unpack(entry, data[start:end])
        if entries > MOST_PARTS or any(
            kind not in _BYTE_TYPES and values > (MOST_PARTS if tag in _STRIPS else 2 * MOST_PARTS)
            for tag, kind, values in tags
        ):
            raise _too_complex("TIFF")
        # Files whose last directory lacks its end are about, and whole.
        at = _number(data, place, end) if end + struct.calcsize(place) <= len(data) else 0


def _number(data: bytes, kind: str, at: int) -> int:
    if at + struct.calcsize(kind) > len(data):
        raise truncated()
    return struct.unpack_from(kind, data, at)[0]


def _check_bmp(data: bytes) -> None:
    if len(data) < 34 or int.from_bytes(data[30:34], "little") not in (1, 2) or data[14] < 40:
        return
    width, height = struct.unpack_from("<ii", data, 18)
    if max(len(data), abs(width * height)) > MOST_RUN_LENGTH_BMP:
        raise RefusedImage("too_complex", "A BMP with run lengths that is this large takes too long: export it as PNG.")


def _too_complex(kind: str) -> RefusedImage:
    return RefusedImage("too_complex", f"The {kind} is made of far too many parts: export it again.")
