"""Image files as hostile input: every byte string is either decoded in full or refused with a reason.

The rules: the format is read from the content, never from a name, and must be on a list; the size in the
header is checked before any pixel is decoded; a picture counts as good only after a full decode, since
Pillow's `verify()` passes files that are cut off; the EXIF orientation is applied once; animations give
their first frame.
"""

import hashlib
import io
import struct
from dataclasses import dataclass
from typing import Final

from PIL import ExifTags, Image, ImageFile, UnidentifiedImageError

from alaas_pipeline.engine.pixels import SUPPORTED_MODES, NoFinitePixel, to_rgb

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_OWN_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_OTHER_MAGIC: Final = (
    (b"%PDF", "PDF"),
    (b"8BPS", "Photoshop"),
    (b"%!PS", "PostScript"),
    (b"\0\0\0\x0cjP", "JPEG 2000"),
    (b"\xff\x4f\xff\x51", "JPEG 2000"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\0\0\0\x0cJXL", "JPEG XL"),
    (b"\0\0\1\0", "ICO"),
    (b"DDS ", "DDS"),
    (b"qoif", "QOI"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
)
_ISO_BRANDS: Final = {b"heic": "HEIC", b"heix": "HEIC", b"mif1": "HEIF", b"msf1": "HEIF", b"avif": "AVIF"}


@dataclass(frozen=True)
class ImageLimits:
    """What a single image may cost: pixels as the header states them, and bytes of the file."""

    max_pixels: int = 64_000_000
    max_bytes: int = 200 * 1024 * 1024


@dataclass(frozen=True)
class ImageInfo:
    """What is known about an image that decoded in full.

    Attributes:
        digest: SHA-256 of the bytes, in hexadecimal.
        bytes: Length of the file.
        format: Pillow's name of the format in lower case, such as "jpeg".
        mode: Pillow's mode as stored, such as "RGB" or "I;16".
        width: Pixels across, as stored.
        height: Pixels down, as stored.
        shown_width: Pixels across once the EXIF orientation is applied.
        shown_height: Pixels down once the EXIF orientation is applied.
        frames: Pictures in an animation or a stack of pages; 1 for a still. The extra pictures that phones
            hide behind a JPEG (previews, depth, gain maps) are not counted.
        orientation: How it is turned when it is shown: the EXIF orientation, 1 (as stored) to 8.
    """

    digest: str
    bytes: int
    format: str
    mode: str
    width: int
    height: int
    shown_width: int
    shown_height: int
    frames: int
    orientation: int


class RefusedImage(Exception):
    """An image that cannot be used, with a short code (`reason`) and one clear sentence (`str()`).

    Codes: "empty", "not_an_image", "unsupported_format", "unsupported_mode", "too_large", "too_many_pixels",
    "truncated", "damaged", "no_finite_pixel".
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keeps the code beside the sentence."""
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["RefusedImage"], tuple[str, str]]:
        """Lets the error cross a process border."""
        return type(self), (self.reason, str(self))


def content_digest(data: bytes) -> str:
    """Returns the SHA-256 of the bytes in hexadecimal: an image's identity everywhere."""
    return hashlib.sha256(data).hexdigest()


def inspect(data: bytes, limits: ImageLimits = ImageLimits()) -> ImageInfo:
    """Decodes an image in full and says what it is.

    Args:
        data: The whole file.
        limits: The largest file and the largest picture to accept.

    Returns:
        The facts about the image.

    Raises:
        RefusedImage: The image is empty, damaged, too large, or of a kind that is not supported. Whatever
            passes here also passes `decode_rgb`.
    """
    image, orientation = _load(data, limits)
    width, height = image.size
    stored = (width, height)
    if orientation >= 5:
        # Pillow turns TIFF files by itself while loading; other formats keep their stored size.
        if image.format == "TIFF":
            stored = (height, width)
        else:
            width, height = height, width
    mode = image.mode
    frames = _frames(image)
    if mode == "F":
        _rgb(image)
    return ImageInfo(
        digest=content_digest(data),
        bytes=len(data),
        format=_format(image),
        mode=mode,
        width=stored[0],
        height=stored[1],
        shown_width=width,
        shown_height=height,
        frames=frames,
        orientation=orientation,
    )


def decode_rgb(data: bytes, limits: ImageLimits = ImageLimits()) -> Image.Image:
    """Decodes an image the way a person would see it.

    Args:
        data: The whole file.
        limits: The largest file and the largest picture to accept.

    Returns:
        The first frame, upright, in 8-bit RGB by the rules of `alaas_pipeline.engine.pixels`.

    Raises:
        RefusedImage: As `inspect`.
    """
    return _upright(*_load(data, limits))


def thumbnail(data: bytes, side: int, quality: int = 70) -> bytes:
    """Makes a small JPEG of an image.

    Args:
        data: The whole file.
        side: Pixels of the longer side of the result; smaller images are enlarged.
        quality: JPEG quality, 1 to 95.

    Returns:
        The bytes of a JPEG without metadata.

    Raises:
        RefusedImage: As `inspect`.
    """
    image = _upright(*_load(data, ImageLimits(), draft_side=2 * side))
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    out = io.BytesIO()
    image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0).save(out, "JPEG", quality=quality)
    return out.getvalue()


def _upright(image: Image.Image, orientation: int) -> Image.Image:
    turn = None if image.format == "TIFF" else _TURNS.get(orientation)
    rgb = _rgb(image)
    return rgb.transpose(turn) if turn is not None else rgb


def _rgb(image: Image.Image) -> Image.Image:
    try:
        return to_rgb(image)
    except NoFinitePixel:
        raise RefusedImage(
            "no_finite_pixel", "Every pixel is NaN or infinite: export the image again with real values."
        ) from None
    except Exception as error:
        raise _damaged(error) from error


def _load(data: bytes, limits: ImageLimits, draft_side: int | None = None) -> tuple[ImageFile.ImageFile, int]:
    """Opens, gates and fully decodes; returns the loaded picture and its EXIF orientation (1 to 8)."""
    if not data:
        raise RefusedImage("empty", "The file is empty: copy it again from where it came.")
    if len(data) > limits.max_bytes:
        raise RefusedImage(
            "too_large", f"The file has {len(data):,} bytes, more than the limit of {limits.max_bytes:,}."
        )
    _check_pixels(_webp_size(data), limits)
    # Another library in the process may have switched this on, and then cut-off files would pass as whole.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedImage("too_many_pixels", "The header claims far too many pixels.") from None
    except UnidentifiedImageError:
        raise _unidentified(data) from None
    except Exception as error:
        raise _damaged(error) from error
    _check_pixels(image.size, limits)
    if image.mode not in SUPPORTED_MODES:
        raise RefusedImage(
            "unsupported_mode", f"The colour mode {image.mode!r} is not supported: convert the image to RGB."
        )
    try:
        orientation = _orientation(image)
        if draft_side is not None and image.format in ("JPEG", "MPO"):
            image.draft(image.mode, (draft_side, draft_side))
        image.load()
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedImage("too_many_pixels", "A frame claims far too many pixels.") from None
    except Exception as error:
        raise _damaged(error) from error
    return image, orientation


def _check_pixels(size: tuple[int, int] | None, limits: ImageLimits) -> None:
    # Pillow only warns between its own limit and twice that; a warning is a refusal here. Compared by hand,
    # since turning warnings into errors for a moment is not safe with several threads.
    most = min(limits.max_pixels, Image.MAX_IMAGE_PIXELS or limits.max_pixels)
    if size is not None and size[0] * size[1] > most:
        raise RefusedImage(
            "too_many_pixels",
            f"The image claims {size[0]} x {size[1]} pixels, more than the limit of {most:,}: scale it down.",
        )


def _webp_size(data: bytes) -> tuple[int, int] | None:
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


def _orientation(image: ImageFile.ImageFile) -> int:
    try:
        value = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _format(image: ImageFile.ImageFile) -> str:
    # A phone's JPEG with hidden extra pictures, which any JPEG reader shows as the one it starts with.
    return "jpeg" if image.format == "MPO" else (image.format or "").lower()


def _frames(image: ImageFile.ImageFile) -> int:
    if image.format == "MPO":
        return 1
    try:
        return int(getattr(image, "n_frames", 1))
    except Exception as error:
        raise _damaged(error) from error


def _unidentified(data: bytes) -> RefusedImage:
    head = data[:32].lstrip()
    if data[4:8] == b"ftyp":
        other = _ISO_BRANDS.get(data[8:12], "video or HEIF")
    else:
        other = next((name for magic, name in _OTHER_MAGIC if head.startswith(magic)), None)
    if other is not None:
        return RefusedImage("unsupported_format", f"The file is {other}: convert it to JPEG, PNG or WebP.")
    if data.startswith(_OWN_MAGIC) or data[8:12] == b"WEBP":
        return RefusedImage("damaged", "The file's header is damaged or cut off: copy it again.")
    return RefusedImage("not_an_image", "The content is not an image, whatever the file is called.")


def _damaged(error: Exception) -> RefusedImage:
    words = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in words or "end of file" in words or "eof" in words:
        return RefusedImage("truncated", "The file ends before the picture does: copy it again.")
    return RefusedImage("damaged", f"The image cannot be decoded ({type(error).__name__}): export it again.")
