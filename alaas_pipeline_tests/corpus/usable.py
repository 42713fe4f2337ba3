"""Files that look odd and are good."""

import base64
import importlib.util
import itertools
import struct
import unicodedata
from collections.abc import Iterator
from typing import Any

import numpy as np
from PIL import Image

from alaas_pipeline_tests.corpus.case import (
    BLUE,
    GREEN,
    HEIGHT,
    PLACES,
    RED,
    WIDTH,
    YELLOW,
    Case,
    Colour,
    chunk,
    noise,
    png,
    quarters,
    retagged,
    saved,
    segment,
    tiff,
)

WHITE, BLACK = (255, 255, 255), (0, 0, 0)
UNDO = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
# The quarters, turned by 6; made with pillow-heif, which is not there everywhere.
HEIC = base64.b64decode(
    "AAAAHGZ0eXBoZWljAAAAAG1pZjFoZWljbWlhZgAAAchtZXRhAAAAAAAAACFoZGxyAAAAAAAAAABwaWN0AAAAAAAAAAAAAAAAAAAAADRpbG9jAAAAAERAAAIAAQAAAAAB7AABAAAAAAAAAFEAAgAAAAACPQABAAAAAAAAACQAAAA4aWluZgAAAAAAAgAAABVpbmZlAgAAAAABAABodmMxAAAAABVpbmZlAgAAAQACAABFeGlmAAAAAA5waXRtAAAAAAABAAABB2lwcnAAAADmaXBjbwAAAHZodmNDAQNwAAAAkAAAAAAAHvAA/P34+AAADwNgAAEAGEABDAH//wNwAAADAJAAAAMAAAMAHroCQGEAAQAqQgEBA3AAAAMAkAAAAwAAAwAeoCCBBZbq5Ka5uAhoMCAAAAMDIAAAAwAhYgABAAZEAcFzwIkAAAATY29scm5jbHgAAQANAAaAAAAAFGlzcGUAAAAAAAAAQAAAAEAAAAAoY2xhcAAAADAAAAABAAAAQAAAAAH////wAAAAAgAAAAAAAAACAAAAEHBpeGkAAAAAAwgICAAAAAlpcm90AwAAABlpcG1hAAAAAAAAAAEAAQaBAgMFhIYAAAAaaXJlZgAAAAAAAAAOY2RzYwACAAEAAQAAAH1tZGF0AAAATSgBrwng4sE1Lf92f/+on//Y3Zjd8Vus3O/lqG/dqSGv61baiFpYlN3t9msS2If/vlL3pbeqHsD0PafvfXfzq/+rq98uVu/yFdbyKaQ/AAAABkV4aWYAAE1NACoAAAAIAAEBEgADAAAAAQAGAAAAAAAA"
)
READS_HEIC = importlib.util.find_spec("pillow_heif") is not None

_seeds = itertools.count(1)


def usable() -> list[Case]:
    """All good files; no two have the same content."""
    return [
        *turned(),
        *modes(),
        *deep(),
        *see_through(),
        *several_pictures(),
        *disguised(),
        *blocks(),
        *sizes(),
        *names(),
    ]


def fresh(mode: str = "RGB") -> Image.Image:
    """The quarters, another content at each call."""
    return quarters(next(_seeds)).convert(mode)


def even(value: int) -> Colour:
    return value, value, value


def turned() -> Iterator[Case]:
    """All orientations: whatever the file stores, the quarters are shown."""
    options: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95, "subsampling": 0}, "WEBP": {"lossless": True}}
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF"):
        for orientation in range(1, 9) if kind != "AVIF" else (1, 6):
            image, exif = fresh(), Image.Exif()
            exif[0x0112] = orientation
            stored = image.transpose(UNDO[orientation]) if orientation in UNDO else image
            data = saved(stored, kind, exif=exif if kind == "TIFF" else exif.tobytes(), **options.get(kind, {}))
            off = 12 if kind in ("JPEG", "AVIF") else 0
            yield Case(f"turned/{orientation}.{kind.lower()}", data, format=kind.lower(), off=off, unfit=kind == "AVIF")
    if READS_HEIC:
        yield Case("turned/6.heic", HEIC, format="heif", off=12, unfit=True)


def modes() -> Iterator[Case]:
    light = {
        place: round(0.299 * r + 0.587 * g + 0.114 * b)
        for place, (r, g, b) in zip(PLACES, (RED, GREEN, BLUE, YELLOW), strict=True)
    }
    grey = {place: even(value) for place, value in light.items()}
    yield Case("modes/cmyk.jpg", saved(fresh("CMYK"), "JPEG", quality=95), format="jpeg", off=12)
    yield Case("modes/cmyk.tif", saved(fresh("CMYK"), "TIFF"), format="tiff", off=2)
    yield Case("modes/cmyk lzw.tif", saved(fresh("CMYK"), "TIFF", compression="tiff_lzw"), format="tiff", off=2)
    yield Case("modes/progressive.jpg", saved(fresh(), "JPEG", quality=95, progressive=True), format="jpeg", off=12)
    yield Case("modes/grey.jpg", saved(fresh("L"), "JPEG", quality=95), format="jpeg", colours=grey, off=4)
    yield Case("modes/grey.png", saved(fresh("L"), "PNG"), colours=grey, off=1)
    yield Case("modes/palette.png", saved(fresh().quantize(32), "PNG"), off=12)
    yield Case("modes/rgb.bmp", saved(fresh(), "BMP"), format="bmp")
    yield Case("modes/bottom last.bmp", top_down(fresh()), format="bmp")
    yield Case("modes/runs.bmp", run_lengths(), format="bmp", size=(8, 2), colours={(0, 1): RED, (7, 0): GREEN})
    yield Case("modes/lossy.webp", saved(fresh(), "WEBP", quality=95), format="webp", off=16)
    for compression in ("tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"):
        data = saved(fresh(), "TIFF", compression=compression)
        yield Case(f"modes/{compression}.tif", data, format="tiff", off=20 if compression == "jpeg" else 0)
    yield Case("modes/big.tif", saved(fresh(), "TIFF", big_tiff=True), format="tiff")
    negative = retagged(saved(fresh("L"), "TIFF"), 262, 0)
    yield Case("modes/negative 8 bits.tif", negative, format="tiff", colours={place: even(255 - value) for place, value in light.items()}, off=1)  # fmt: skip
    ink = {(0, 0): BLACK, (WIDTH - 1, HEIGHT - 1): WHITE}
    for kind, name in (("PNG", "png"), ("TIFF", "tiff")):
        page = Image.new("1", (WIDTH, HEIGHT), 1)
        page.paste(0, (0, 0, 9 + next(_seeds) % 50, 9))
        yield Case(f"modes/bilevel.{name}", saved(page, kind), format=name, colours=ink)
    pixels = b"".join(b"\0" + bytes(colour) * 1 for colour in (RED,)) + b"\0" + bytes(GREEN) * 1
    yield Case("modes/interlaced.png", png(2, 1, 8, 2, pixels, interlaced=1), size=(2, 1), colours={(0, 0): RED, (1, 0): GREEN})  # fmt: skip


def deep() -> Iterator[Case]:
    """More than 8 bits: the darkest becomes black and the brightest white, and the middle stays in the middle."""
    ramp = np.add.outer(np.zeros(HEIGHT), np.linspace(0, 4095, WIDTH))
    shown = {(0, 0): BLACK, (WIDTH - 1, 47): WHITE, (32, 20): (130, 130, 130)}
    turned_round = {(0, 0): WHITE, (WIDTH - 1, 47): BLACK, (32, 20): (125, 125, 125)}
    words = Image.fromarray(ramp.astype(np.uint16))
    yield Case("deep/12 in 16.png", saved(words, "PNG"), colours=shown, off=1)
    yield Case("deep/12 in 16.tif", saved(words, "TIFF"), format="tiff", colours=shown, off=1)
    yield Case(
        "deep/12 in 16 lzw.tif", saved(words, "TIFF", compression="tiff_lzw"), format="tiff", colours=shown, off=1
    )
    yield Case("deep/negative.tif", retagged(saved(words, "TIFF"), 262, 0), format="tiff", colours=turned_round, off=1)
    whole = Image.fromarray((ramp * 500_000 - 10**9).astype(np.int32))
    yield Case("deep/32 bits.tif", saved(whole, "TIFF"), format="tiff", colours=shown, off=1)
    values = (ramp / 4095 - 0.5).astype(np.float32)
    values[30, 30], values[30, 31] = np.nan, np.inf
    holes = shown | {(30, 30): BLACK, (31, 30): BLACK}
    floats = saved(Image.fromarray(values), "TIFF")
    yield Case("deep/float.tif", floats, format="tiff", colours=holes, off=1)
    holes = turned_round | {(30, 30): BLACK, (31, 30): BLACK}
    yield Case("deep/negative float.tif", retagged(floats, 262, 0), format="tiff", colours=holes, off=1)
    level = Image.new("I;16", (WIDTH, HEIGHT), 700)
    yield Case("deep/even.png", saved(level, "PNG"), colours={(0, 0): BLACK, (63, 47): BLACK})
    row = struct.pack(">6H", *(value * 257 for value in (*RED, *BLUE)))
    yield Case("deep/16 a channel.png", png(2, 1, 16, 2, b"\0" + row), size=(2, 1), colours={(0, 0): RED, (1, 0): BLUE})
    row = struct.pack(">4H", 90 * 257, 65535, 0, 0)
    yield Case("deep/16 and alpha.png", png(2, 1, 16, 4, b"\0" + row), size=(2, 1), colours={(0, 0): even(90), (1, 0): WHITE})  # fmt: skip
    body = struct.pack("<6H", *(value * 257 for value in (*GREEN, *YELLOW))) + struct.pack("<3H", 16, 16, 16)
    tags = {256: (3, 1, 2), 257: (3, 1, 1), 258: (3, 3, 524), 259: (3, 1, 1), 262: (3, 1, 2), 273: (4, 1, 512), 277: (3, 1, 3), 278: (3, 1, 1), 279: (4, 1, 12)}  # fmt: skip
    yield Case("deep/16 a channel.tif", tiff(tags, body), format="tiff", size=(2, 1), colours={(0, 0): GREEN, (1, 0): YELLOW})  # fmt: skip


def see_through() -> Iterator[Case]:
    """Alpha is laid over white, and colours hidden under it never show."""
    shown = {PLACES[0]: RED, PLACES[3]: WHITE}
    for kind, options in (("PNG", {}), ("WEBP", {"lossless": True}), ("TIFF", {}), ("AVIF", {"quality": 100, "subsampling": "4:4:4"})):  # fmt: skip
        image = fresh("RGBA")
        image.putalpha(Image.new("L", image.size, 255))
        image.paste((*YELLOW, 0), (WIDTH // 2, HEIGHT // 2, WIDTH, HEIGHT))
        name = kind.lower()
        yield Case(f"alpha/hidden.{name}", saved(image, kind, **options), format=name, colours=shown, off=6 if kind == "AVIF" else 0, unfit=kind == "AVIF")  # fmt: skip
    half = Image.new("RGBA", (WIDTH, HEIGHT), (0, 0, 0, 128))
    yield Case("alpha/half.png", saved(half, "PNG"), colours={(0, 0): (127, 127, 127)}, off=1)
    grey = Image.new("LA", (WIDTH, HEIGHT), (40, 255))
    grey.paste((0, 0), (0, 0, 9, 9))
    yield Case("alpha/grey.png", saved(grey, "PNG"), colours={(0, 0): WHITE, (30, 30): (40, 40, 40)})
    palette = Image.new("P", (WIDTH, HEIGHT), 1)
    palette.putpalette([*RED, *GREEN])
    palette.paste(0, (0, 0, 9, 9))
    yield Case("alpha/palette.png", saved(palette, "PNG", transparency=0), colours={(0, 0): WHITE, (30, 30): GREEN})
    yield Case("alpha/palette shades.png", saved(palette, "PNG", transparency=b"\x80\xff"), colours={(0, 0): (237, 142, 142), (30, 30): GREEN}, off=2)  # fmt: skip
    yield Case("alpha/colour.png", saved(fresh(), "PNG", transparency=RED), colours={PLACES[0]: WHITE, PLACES[3]: YELLOW})  # fmt: skip
    yield Case("alpha/palette.gif", saved(palette, "GIF", transparency=0), format="gif", colours={(0, 0): WHITE, (30, 30): GREEN}, unfit=True)  # fmt: skip


def several_pictures() -> Iterator[Case]:
    """The first picture is shown."""
    for kind, frames in (("GIF", 3), ("PNG", 3), ("WEBP", 3), ("TIFF", 3), ("MPO", 1)):
        options: dict[str, Any] = {"WEBP": {"lossless": True}, "MPO": {"quality": 95, "subsampling": 0}}.get(kind, {})
        more = [Image.new("RGB", (WIDTH, HEIGHT), colour) for colour in (WHITE, BLACK)]
        data = saved(fresh(), kind, save_all=True, append_images=more, **options)
        name, off = {"MPO": ("jpeg", 12), "GIF": ("gif", 12)}.get(kind, (kind.lower(), 0))
        yield Case(f"several/frames.{kind.lower()}", data, format=name, off=off, frames=frames, unfit=kind == "GIF")
    # The first frame covers the middle alone; what no frame has drawn is see-through.
    yield Case("several/small first frame.gif", shifted(), format="gif", size=(8, 8), colours={(0, 0): WHITE, (4, 4): RED}, unfit=True)  # fmt: skip


def disguised() -> Iterator[Case]:
    """A name says nothing; what stands behind the picture neither."""
    yield Case("disguised/a png.jpg", saved(fresh(), "PNG"))
    yield Case("disguised/a jpeg.png", saved(fresh(), "JPEG", quality=95), format="jpeg", off=12)
    yield Case("disguised/a webp.gif", saved(fresh(), "WEBP", lossless=True), format="webp")
    yield Case("disguised/no suffix", saved(fresh(), "BMP"), format="bmp")
    yield Case("disguised/unknown.xyzzy", saved(fresh(), "TIFF"), format="tiff")
    jpeg = saved(fresh(), "JPEG", quality=95)
    yield Case(
        "disguised/jpeg and zip.jpg", jpeg + b"PK\3\4" + bytes(40) + b"PK\5\6" + bytes(18), format="jpeg", off=12
    )
    motion = saved(fresh(), "JPEG", quality=95) + b"\0\0\0\x18ftypmp42" + np.random.default_rng(1).bytes(60_000)
    yield Case("disguised/motion photo.jpg", motion, format="jpeg", off=12)
    page = b"%PDF-1.4\n1 0 obj<</Type/Catalog>>endobj <script>alert(1)</script>"
    jpeg = saved(fresh(), "JPEG", quality=95)
    yield Case("disguised/jpeg and pdf.jpg", jpeg[:2] + segment(0xFE, page) + jpeg[2:], format="jpeg", off=12)
    whole = saved(fresh(), "PNG")
    yield Case("disguised/png and php.png", whole[:33] + chunk(b"tEXt", b"c\0<?php system('id'); ?>") + whole[33:])
    yield Case("disguised/png and more.png", saved(fresh(), "PNG") + b"#!/bin/sh\necho no\n" * 50)


def blocks() -> Iterator[Case]:
    """Large blocks beside the picture."""
    random = np.random.default_rng(2)
    yield Case("blocks/icc 4 MB.jpg", saved(fresh(), "JPEG", quality=95, icc_profile=random.bytes(4_000_000)), format="jpeg", off=12)  # fmt: skip
    yield Case("blocks/icc 3 MB.png", saved(fresh(), "PNG", icc_profile=random.bytes(3_000_000)))
    yield Case("blocks/icc 3 MB.webp", saved(fresh(), "WEBP", lossless=True, icc_profile=random.bytes(3_000_000)), format="webp")  # fmt: skip
    yield Case("blocks/icc 3 MB.tif", saved(fresh(), "TIFF", icc_profile=random.bytes(3_000_000)), format="tiff")
    large = Image.Exif()
    large[0x010E] = "x" * 60_000
    yield Case("blocks/exif 60 kB.jpg", saved(fresh(), "JPEG", quality=95, exif=large), format="jpeg", off=12)
    large[0x010E] = "x" * 2_000_000
    yield Case("blocks/exif 2 MB.png", saved(fresh(), "PNG", exif=large))
    yield Case("blocks/exif 2 MB.webp", saved(fresh(), "WEBP", lossless=True, exif=large), format="webp")
    broken = b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 500
    yield Case("blocks/broken exif.jpg", saved(fresh(), "JPEG", quality=95, exif=broken), format="jpeg", off=12)
    whole = saved(fresh(), "PNG")
    text = chunk(b"iTXt", b"prompt\0\0\0\0\0" + b"a cat, " * 500_000)
    yield Case("blocks/text 3 MB.png", whole[:33] + text + whole[33:])
    whole = saved(fresh(), "GIF")
    at = 13 + (3 << (whole[10] % 8 + 1))
    comment = b"!\xfe" + (b"\xff" + b"c" * 255) * 10_000 + b"\0"
    yield Case("blocks/comment 2.5 MB.gif", whole[:at] + comment + whole[at:], format="gif", off=12, unfit=True)


def sizes() -> Iterator[Case]:
    yield Case("sizes/1 x 1.png", saved(Image.new("RGB", (1, 1), RED), "PNG"), size=(1, 1), colours={(0, 0): RED})
    yield Case("sizes/1 x 1.jpg", saved(Image.new("RGB", (1, 1), GREEN), "JPEG", quality=95), format="jpeg", size=(1, 1), colours={(0, 0): GREEN}, off=4)  # fmt: skip
    for width, height in ((1, 30_000), (30_000, 1)):
        image = Image.new("RGB", (width, height), BLUE)
        image.putpixel((width - 1, height - 1), RED)
        for kind in ("PNG", "TIFF"):
            data = saved(image, kind)
            yield Case(f"sizes/{width} x {height}.{kind.lower()}", data, format=kind.lower(), size=image.size, colours={(0, 0): BLUE, (width - 1, height - 1): RED})  # fmt: skip
    grey = Image.new("RGB", (333, 222), (128, 128, 128))
    grey.paste(noise(3, 200, 150))
    yield Case("sizes/grey corner.jpg", saved(grey, "JPEG"), format="jpeg", size=(333, 222), colours={(332, 221): even(128)}, off=1)  # fmt: skip


def names() -> Iterator[Case]:
    """Names that break what splits, joins, quotes or normalises them."""
    for name in (
        "line\nbreak.png",
        "tab\tand\rreturn.png",
        "写真 🐈.png",
        unicodedata.normalize("NFC", "café.png"),
        "x" * 251 + ".png",
        "é" * 125 + "1.png",
        "-rf.png",
        "semi;colon & $(id) `id`.png",
        "back\\slash.png",
        "quote'\"s.png",
        "\u202egnp.exe.png",
        "percent %2F..%2F.png",
        "a,b;c|d.png",
        " leading and trailing .png",
        "nul.png",
        "deep/" * 40 + "down.png",
    ):
        yield Case(f"names/{name}", saved(fresh(), "PNG"))


def top_down(image: Image.Image) -> bytes:
    """A BMP whose first row is the top one."""
    rows = image.convert("RGB").tobytes("raw", "BGR")
    head = struct.pack("<IiiHHIIiiII", 40, image.width, -image.height, 1, 24, 0, len(rows), 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54 + len(rows), 0, 0, 54) + head + rows


def run_lengths() -> bytes:
    """A BMP with run lengths: red below, green above."""
    body = b"\x08\0\0\0\x08\x01\0\0\0\x01"
    palette = bytes([*RED[::-1], 0, *GREEN[::-1], 0])
    head = struct.pack("<IiiHHIIiiII", 40, 8, 2, 1, 8, 1, len(body), 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", 62 + len(body), 0, 0, 62) + head + palette + body


def shifted() -> bytes:
    """A GIF of 8 x 8 pixels whose only frame is the 4 x 4 in the middle."""
    small = Image.new("P", (4, 4))
    small.putpalette([*RED, *GREEN])
    whole = bytearray(saved(small, "GIF", transparency=1))
    whole[6:10] = struct.pack("<HH", 8, 8)
    at = whole.index(b"," + struct.pack("<HHHH", 0, 0, 4, 4))
    whole[at + 1 : at + 5] = struct.pack("<HH", 2, 2)
    return bytes(whole)
