"""Files that cannot be used, and a word of the reason that is right for each."""

import struct
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from alaas_pipeline_tests.corpus.case import Case, chunk, noise, png, quarters, retagged, saved, segment, tiff
from alaas_pipeline_tests.corpus.usable import HEIC, READS_HEIC

ENDS, DAMAGED = "ends before the picture does", "damaged|cannot be decoded"
NO_IMAGE, PARTS, PIXELS = "not an image", "far too many parts", "pixels"


def broken() -> list[Case]:
    """All bad files; no two have the same content."""
    return [*cut_off(), *damaged(), *other_things(), *bombs()]


def cut_off() -> Iterator[Case]:
    """Files that end too early, at many places: never a picture with a grey or black rest."""
    kinds: tuple[tuple[str, dict[str, Any]], ...] = (
        ("JPEG", {"quality": 80}),
        ("JPEG", {"quality": 80, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("GIF", {}),
        ("BMP", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
        ("AVIF", {}),
    )
    for number, (kind, options) in enumerate(kinds):
        whole = saved(noise(100 + number), kind, **options)
        for share in (0.002, 0.02, 0.1, 0.5, 0.9, 0.99):
            data = whole[: max(9, int(len(whole) * share))]
            name = f"cut/{kind.lower()} {number} at {share:.1%}.{kind.lower()}"
            yield Case(name, data, f"{ENDS}|{DAMAGED}|{NO_IMAGE}")
    whole = saved(noise(120), "PNG")
    for missing in (1, 12, 16):
        yield Case(f"cut/png without its last {missing} bytes.png", whole[:-missing], ENDS)
    # What a camera leaves that lost a packet, and what a tool makes of a download that broke off.
    for number, (kind, options) in enumerate({"colour": {}, "fine": {"subsampling": 0}, "restarts": {"restart_marker_rows": 1}}.items()):  # fmt: skip
        whole = saved(noise(130 + number), "JPEG", quality=85, **options)
        half = len(whole) // 2
        yield Case(f"cut/jpeg {kind} closed.jpg", whole[:half] + b"\xff\xd9", ENDS)
        if not options.get("restart_marker_rows"):
            yield Case(
                f"cut/jpeg {kind} middle gone.jpg", whole[:half] + whole[half + half // 2 :], f"{ENDS}|{DAMAGED}"
            )
    for mode in ("L", "CMYK"):
        whole = saved(noise(140).convert(mode), "JPEG", quality=85)
        yield Case(f"cut/jpeg {mode} closed.jpg", whole[: len(whole) // 2] + b"\xff\xd9", ENDS)


def damaged() -> Iterator[Case]:
    """Damage that a format can tell."""
    for name, level in (("stored", 0), ("packed", 6)):
        data = bytearray(saved(noise(150), "PNG", compress_level=level))
        data[len(data) // 2] ^= 0x10
        yield Case(f"damaged/one bit {name}.png", bytes(data), DAMAGED)
    for compression in ("tiff_lzw", "tiff_adobe_deflate"):
        data = bytearray(saved(noise(151), "TIFF", compression=compression))
        data[len(data) // 2 : len(data) // 2 + 400] = bytes(400)
        yield Case(f"damaged/hole {compression}.tif", bytes(data), DAMAGED)
    yield Case("damaged/all nan.tif", saved(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"), "NaN")
    yield Case("damaged/lab.tif", saved(Image.new("LAB", (8, 8)), "TIFF"), "mode 'LAB'")
    yield Case("damaged/no pixels.png", png(64, 48, 8, 2, b""), f"{ENDS}|{DAMAGED}")
    yield Case("damaged/no size.png", png(0, 0, 8, 2, b""), DAMAGED)
    unknown = retagged(saved(Image.fromarray(np.zeros((4, 4), np.int32)), "TIFF"), 262, 0)
    yield Case("damaged/unknown kind.tif", unknown, "this kind of TIFF is not supported")
    loop = bytearray(saved(quarters(900), "TIFF"))
    at = struct.unpack_from("<I", loop, 4)[0]
    struct.pack_into("<I", loop, at + 2 + 12 * struct.unpack_from("<H", loop, at)[0], len(loop) - 1)
    yield Case("damaged/next page behind the end.tif", bytes(loop), ENDS)


def other_things() -> Iterator[Case]:
    """No images, or none that are read, whatever they are called."""
    yield Case("other/zero bytes.jpg", b"", "empty")
    yield Case("other/one byte.jpg", b"\xff", NO_IMAGE)
    yield Case("other/letter.png", b"Dear annotator, this is no image.", NO_IMAGE)
    yield Case("other/error page.jpg", b"<!doctype html><html><body>404 Not Found</body></html>", NO_IMAGE)
    yield Case("other/answer.webp", b'{"error": "AccessDenied"}', NO_IMAGE)
    yield Case("other/random.jpg", np.random.default_rng(0).bytes(50_000), NO_IMAGE)
    yield Case("other/zeros.png", bytes(50_000), NO_IMAGE)
    yield Case("other/archive.webp", b"PK\3\4" + bytes(60), NO_IMAGE)
    yield Case("other/program.gif", b"\x7fELF\2\1\1" + bytes(60), NO_IMAGE)
    yield Case("other/script.gif", b"GIF89a/*<svg/onload=alert(1)>*/=1;", f"{ENDS}|{DAMAGED}|{NO_IMAGE}|{PIXELS}")
    yield Case("other/document.jpg", b"%PDF-1.7\n%\xe2\xe3", "PDF")
    yield Case("other/drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG")
    yield Case("other/layers.jpg", b"8BPS\0\1" + bytes(60), "Photoshop")
    yield Case("other/jpeg2000.jpg", saved(quarters(901), "JPEG2000"), "JPEG 2000")
    yield Case("other/jpeg xl.jpg", b"\xff\x0a" + bytes(60), "JPEG XL")
    yield Case("other/icon.png", saved(quarters(902), "ICO", sizes=[(32, 32)]), "ICO")
    yield Case("other/netpbm.png", saved(quarters(903), "PPM"), NO_IMAGE)
    yield Case("other/film.jpg", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(60), "video")
    yield Case("other/header.heic", b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", DAMAGED if READS_HEIC else r"HEIC.*\[heif\]")
    yield Case("other/header.avif", b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", DAMAGED)
    if not READS_HEIC:
        yield Case("other/phone.heic", HEIC, r"HEIC.*\[heif\]")


def bombs() -> Iterator[Case]:
    """Small files that claim, unpack or take far more than they are."""
    for side in (9000, 13_000, 30_000, 2**31 - 1):
        yield Case(f"bombs/{side} square.png", png(side, side, 8, 0, b""), PIXELS)
    yield Case("bombs/black.png", png(20_000, 20_000, 1, 0, bytes(2501 * 20_000)), PIXELS)
    yield Case("bombs/canvas.webp", canvas(16_383, 16_383), PIXELS)
    yield Case("bombs/canvas within the general limit.webp", canvas(7500, 7500), PIXELS)
    jpeg = bytearray(saved(quarters(910), "JPEG"))
    at = jpeg.index(b"\xff\xc0")
    yield Case("bombs/65,500 square.jpg", bytes(jpeg[: at + 5] + struct.pack(">HH", 65_500, 65_500) + jpeg[at + 9 :]), PIXELS)  # fmt: skip
    yield Case("bombs/3000 square.jpg", bytes(jpeg[: at + 5] + struct.pack(">HH", 3000, 3000) + jpeg[at + 9 :]), ENDS)
    gif = bytearray(saved(quarters(911), "GIF"))
    yield Case("bombs/65,535 square.gif", bytes(gif[:6] + b"\xff\xff\xff\xff" + gif[10:]), PIXELS)
    bmp = bytearray(saved(quarters(912), "BMP"))
    yield Case("bombs/100,000 square.bmp", bytes(bmp[:18] + struct.pack("<ii", 100_000, 100_000) + bmp[26:]), PIXELS)
    runs = struct.pack("<IiiHHIIiiII", 40, 7000, 7000, 1, 8, 1, 4, 0, 0, 2, 0) + bytes(8) + b"\0\1"
    yield Case("bombs/runs.bmp", b"BM" + struct.pack("<IHHI", 64, 0, 0, 62) + runs, "run lengths")
    tile = {256: (4, 1, 10), 257: (4, 1, 10), 258: (3, 1, 8), 259: (3, 1, 8), 262: (3, 1, 1), 277: (3, 1, 1), 322: (4, 1, 60_000), 323: (4, 1, 60_000), 324: (4, 1, 512), 325: (4, 1, 40)}  # fmt: skip
    yield Case("bombs/tile.tif", tiff(tile, zlib.compress(bytes(100_000))), DAMAGED)
    strips = {256: (3, 1, 1), 257: (4, 1, 200_000), 258: (3, 1, 8), 259: (3, 1, 1), 262: (3, 1, 1), 273: (4, 200_000, 512), 277: (3, 1, 1), 278: (4, 1, 1), 279: (4, 200_000, 512)}  # fmt: skip
    yield Case("bombs/strips.tif", tiff(strips, bytes(800_000)), PARTS)
    page = struct.pack("<H", 0)
    pages = b"".join(page + struct.pack("<I", 512 + 6 * (number + 1)) for number in range(100_001))
    yield Case("bombs/pages.tif", b"II*\0" + struct.pack("<I", 512) + bytes(504) + pages, PARTS)
    whole = saved(quarters(913), "PNG")
    for name, extra in {
        "text": chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(70_000_000), 1)),
        "profile": chunk(b"iCCP", b"a\0\0" + zlib.compress(bytes(70_000_001), 1)),
    }.items():
        yield Case(f"bombs/{name}.png", whole[:33] + extra + whole[33:], "far too large")
    yield Case("bombs/chunks.png", whole[:33] + chunk(b"abCd", b"") * 100_001 + whole[33:], PARTS)
    whole = saved(quarters(914), "JPEG")
    for name, extra in {
        "exif": segment(0xE1, b"Exif\0\0" + bytes(40_000)) * 101,
        "segments": segment(0xE5, b"") * 100_001,
        "junk": bytes(1_100_000),
    }.items():
        yield Case(f"bombs/{name}.jpg", whole[:20] + extra + whole[20:], PARTS)
    whole = saved(noise(915, 64, 48), "JPEG", progressive=True)
    scan = b"\xff\xda" + struct.pack(">H", 8) + b"\1\1\0\1\x3f\0" + b"\0"
    yield Case("bombs/scans.jpg", whole[:-2] + scan * 101 + whole[-2:], PARTS)
    whole = saved(quarters(916), "GIF")
    frame = b",\0\0\0\0\1\0\1\0\0\2\2\x44\x01\0"
    yield Case("bombs/frames.gif", whole[:-1] + frame * 500_001 + b";", PARTS)


def canvas(width: int, height: int) -> bytes:
    """A WebP whose canvas claims a size that its content does not have."""
    still = saved(quarters(917), "WEBP", lossless=True)
    claim = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + claim + still[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body
