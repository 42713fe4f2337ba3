"""Images that make trouble, made by code: each with what must come of it."""

import io
import struct
import zlib
from typing import Any

import numpy as np
from PIL import Image

from alaas_pipeline_tests.corpus.usable import UNDO


def photo(width: int = 64, height: int = 48, mode: str = "RGB") -> Image.Image:
    """A picture with detail, the same on every call."""
    y, x = np.mgrid[0:height, 0:width]
    noise = np.random.default_rng(7).integers(0, 40, (height, width))
    rgb = np.stack([x * 3 + noise, y * 4 + noise, (x + y) * 2 + noise], axis=-1)
    return Image.fromarray((rgb % 256).astype(np.uint8)).convert(mode)


def saved(image: Image.Image, kind: str, **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def png(width: int, height: int, *, depth: int = 8, color: int = 0, body: bytes = b"") -> bytes:
    """A PNG whose header says what it likes."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def webp_claiming(width: int, height: int) -> bytes:
    """A WebP whose canvas claims a size that its content does not have."""
    still = saved(photo(), "WEBP", lossless=True)
    canvas = struct.pack("<I", 0) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    body = b"WEBP" + b"VP8X" + struct.pack("<I", 10) + canvas + still[12:]
    return b"RIFF" + struct.pack("<I", len(body)) + body


def turned(kind: str, orientation: int) -> bytes:
    """A picture stored so that the EXIF orientation turns it into `photo()`."""
    stored = photo().transpose(UNDO[orientation]) if orientation in UNDO else photo()
    exif = Image.Exif()
    exif[0x0112] = orientation
    options: dict[str, Any] = {"JPEG": {"quality": 95}, "WEBP": {"lossless": True}}.get(kind, {})
    return saved(stored, kind, exif=exif.tobytes() if kind != "TIFF" else exif, **options)


def animation() -> bytes:
    frames = [Image.new("RGB", (20, 10), color) for color in ("red", "green", "blue")]
    return saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=50)


def refused() -> dict[str, tuple[bytes, set[str]]]:
    """Name to bytes and the reasons that are right for them."""
    jpeg = saved(photo(), "JPEG", quality=90)
    files: dict[str, tuple[bytes, set[str]]] = {
        "zero bytes": (b"", {"empty"}),
        "one byte": (b"\xff", {"not_an_image"}),
        "text": (b"Dear annotator, this is no image.", {"not_an_image"}),
        "html": (b"<!doctype html><html><body>404</body></html>", {"not_an_image"}),
        "random": (np.random.default_rng(0).bytes(5000), {"not_an_image"}),
        "pdf": (b"%PDF-1.7\n%\xe2\xe3", {"unsupported_format"}),
        "svg": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", {"unsupported_format"}),
        "heic": (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", {"unsupported_format", "damaged"}),
        "avif": (b"\0\0\0\x18ftypavif\0\0\0\0mif1avif", {"damaged"}),
        "icon": (saved(photo(32, 32), "ICO"), {"unsupported_format"}),
        "jpeg 2000": (b"\0\0\0\x0cjP  \r\n\x87\n" + bytes(40), {"unsupported_format"}),
        "netpbm": (saved(photo(), "PPM"), {"not_an_image"}),
        "lab tiff": (saved(Image.new("LAB", (8, 8)), "TIFF"), {"unsupported_mode"}),
        "bomb below Pillow's warning": (png(9000, 9000), {"too_many_pixels"}),
        "bomb with Pillow's warning": (png(13000, 13000), {"too_many_pixels"}),
        "bomb with Pillow's error": (png(30000, 30000), {"too_many_pixels"}),
        "webp bomb": (webp_claiming(12000, 12000), {"too_many_pixels"}),
        "webp bomb at the end of the scale": (webp_claiming(16383, 16383), {"too_many_pixels"}),
        "png without pixels": (png(64, 48), {"truncated", "damaged"}),
        "all NaN": (saved(Image.fromarray(np.full((4, 4), np.nan, np.float32)), "TIFF"), {"no_finite_pixel"}),
        "jpeg with half its middle gone": (jpeg[:300] + jpeg[len(jpeg) // 2 :][:200], {"truncated", "damaged"}),
    }
    for kind, options in (
        ("JPEG", {"quality": 90}),
        ("JPEG", {"quality": 90, "progressive": True}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ):
        whole = saved(photo(), kind, **options)
        for share in (0.02, 0.1, 0.5, 0.9):
            name = f"{kind} {' '.join(map(str, options))} cut at {share:.0%}"
            # Some files are cut inside their header, which then is no header any more.
            files[name] = (whole[: int(len(whole) * share)], {"truncated", "damaged", "not_an_image"})
    return files


def accepted() -> dict[str, tuple[bytes, str, tuple[int, int]]]:
    """Name to bytes, format and shown size."""
    grey16 = Image.fromarray((np.arange(48 * 64).reshape(48, 64)).astype(np.uint16))
    floats = np.linspace(-1, 1, 48 * 64, dtype=np.float32).reshape(48, 64)
    cut_at_marker = saved(photo(), "JPEG", quality=90)
    return {
        "1x1": (saved(Image.new("RGB", (1, 1)), "PNG"), "png", (1, 1)),
        "long": (saved(Image.new("L", (30000, 1)), "PNG"), "png", (30000, 1)),
        "bilevel": (saved(photo(mode="1"), "PNG"), "png", (64, 48)),
        "grey": (saved(photo(mode="L"), "JPEG"), "jpeg", (64, 48)),
        "cmyk": (saved(photo(mode="CMYK"), "JPEG"), "jpeg", (64, 48)),
        "progressive": (saved(photo(), "JPEG", progressive=True), "jpeg", (64, 48)),
        "rgba": (saved(photo(mode="RGBA"), "PNG"), "png", (64, 48)),
        "grey and alpha": (saved(photo(mode="LA"), "PNG"), "png", (64, 48)),
        "palette": (saved(photo(mode="P"), "PNG"), "png", (64, 48)),
        "palette and transparency": (saved(photo(mode="P"), "PNG", transparency=0), "png", (64, 48)),
        "transparent colour": (saved(photo(), "PNG", transparency=(0, 0, 0)), "png", (64, 48)),
        "transparent grey": (saved(photo(mode="L"), "PNG", transparency=0), "png", (64, 48)),
        "16 bit": (saved(grey16, "PNG"), "png", (64, 48)),
        "16 bit tiff": (saved(grey16, "TIFF"), "tiff", (64, 48)),
        "16 bit colour": (png(2, 1, depth=16, color=2, body=b"\0" + bytes(12)), "png", (2, 1)),
        "32 bit": (saved(Image.fromarray(np.arange(12, dtype=np.int32).reshape(3, 4)), "TIFF"), "tiff", (4, 3)),
        "float": (saved(Image.fromarray(floats), "TIFF"), "tiff", (64, 48)),
        "bmp": (saved(photo(), "BMP"), "bmp", (64, 48)),
        "webp": (saved(photo(), "WEBP"), "webp", (64, 48)),
        "webp with alpha": (saved(photo(mode="RGBA"), "WEBP"), "webp", (64, 48)),
        "lzw": (saved(photo(), "TIFF", compression="tiff_lzw"), "tiff", (64, 48)),
        "animated": (animation(), "gif", (20, 10)),
        "phone": (saved(photo(), "MPO", save_all=True, append_images=[photo(32, 24)]), "jpeg", (64, 48)),
        "junk behind": (cut_at_marker + b"junk" * 100, "jpeg", (64, 48)),
        "broken exif": (saved(photo(), "JPEG", exif=b"Exif\0\0II*\0\xff\xff\xff\xff" + b"\xff" * 50), "jpeg", (64, 48)),
        "huge icc": (saved(photo(), "JPEG", icc_profile=bytes(500_000)), "jpeg", (64, 48)),
    }
