"""Image files as hostile input: every byte string is either decoded in full or refused with a reason.

The rules: the format is read from the content, never from a name, and must be on a list; the structure and the
size in the header are checked before any pixel is decoded; a picture counts as good only after a full decode,
since Pillow's `verify()` passes files that are cut off; the EXIF orientation is applied once; animations give
their first frame; and all decoding of a process shares one allowance of memory.
"""

import hashlib
import importlib
import importlib.util
import io
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cache
from typing import Any, Final

from PIL import ExifTags, Image, ImageFile, PngImagePlugin, UnidentifiedImageError, features

from alaas_pipeline.engine.allowance import Allowance
from alaas_pipeline.engine.early_end import ends_early
from alaas_pipeline.engine.file_structure import check_structure, webp_size
from alaas_pipeline.engine.pixels import DEEP_MODES, SUPPORTED_MODES, NoFinitePixel, to_rgb
from alaas_pipeline.engine.refusals import RefusedImage, damaged, truncated, unidentified

FORMATS: Final = ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF")

# The most that decoding takes, measured over all modes, in bytes a pixel; a process decodes as many images at once as fit.
_BYTES_A_PIXEL: Final = 12
_CANVASES: Final = {"WEBP": 16, "AVIF": 16}
MEMORY: Final = Allowance(64_000_000 * _BYTES_A_PIXEL)
# Of blocks below 32 MiB the C library keeps what was freed, for each thread; Pillow's own size is 16.
Image.core.set_block_size(64 * 1024 * 1024)
# Profiles of CMYK alone have more than Pillow's one megabyte. All texts of a file together keep to 64.
_MOST_PNG_TEXT: Final = 64 * 1024 * 1024

_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_MIN_IS_WHITE: Final = 0


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
    with _opened(data, limits) as (image, orientation):
        shown = stored = image.size
        if orientation >= 5:
            # Pillow turns TIFF files by itself while loading; other formats keep their stored size.
            if image.format == "TIFF":
                stored = stored[::-1]
            else:
                shown = shown[::-1]
        if image.mode == "F":
            _rgb(image)
        return ImageInfo(
            digest=content_digest(data),
            bytes=len(data),
            format=_format(image),
            mode=image.mode,
            width=stored[0],
            height=stored[1],
            shown_width=shown[0],
            shown_height=shown[1],
            frames=_frames(image),
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
    with upright(data, limits) as image:
        return image


@contextmanager
def upright(
    data: bytes, limits: ImageLimits = ImageLimits(), draft_side: int | None = None, *, grey: bool = False
) -> Iterator[Image.Image]:
    """Decodes an image as `decode_rgb`, for as long as the block lasts.

    Until then its memory counts: other threads that decode wait if there is not enough for both. The block
    must not decode a second image.

    Args:
        data: The whole file.
        limits: The largest file and the largest picture to accept.
        draft_side: JPEGs larger than this may come at 1/2, 1/4 or 1/8 of their size, no side shorter than it. Their
            data are read to the end all the same.
        grey: Opaque pictures of 8-bit grey come in mode "L", which holds the same in a quarter of the memory.

    Raises:
        RefusedImage: As `inspect`.
    """
    with _opened(data, limits, draft_side) as (image, orientation):
        yield _turned(image, orientation, grey=grey)


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
    with _opened(data, ImageLimits(), draft_side=2 * side) as loaded:
        image = _turned(*loaded)
        scale = side / max(image.size)
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        out = io.BytesIO()
        small = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        # Pillow would carry the file's comment over, and fail where that is longer than a JPEG can hold.
        small.info.clear()
        small.save(out, "JPEG", quality=quality)
        return out.getvalue()


def _turned(image: Image.Image, orientation: int, *, grey: bool = False) -> Image.Image:
    turn = None if image.format == "TIFF" else _TURNS.get(orientation)
    plain = image if grey and image.mode == "L" and not image.has_transparency_data else _rgb(image)
    return plain.transpose(turn) if turn is not None else plain


def _rgb(image: Image.Image) -> Image.Image:
    # Of deep pictures Pillow leaves this to the reader. What an X-ray machine saves may be stored so.
    tags: Any = getattr(image, "tag_v2", {})
    negative = image.mode in DEEP_MODES and tags.get(ExifTags.Base.PhotometricInterpretation) == _MIN_IS_WHITE
    try:
        return to_rgb(image, negative=negative)
    except NoFinitePixel:
        raise RefusedImage(
            "no_finite_pixel", "Every pixel is NaN or infinite: export the image again with real values."
        ) from None
    except Exception as error:
        raise damaged(error) from error


@contextmanager
def _opened(
    data: bytes, limits: ImageLimits, draft_side: int | None = None
) -> Iterator[tuple[ImageFile.ImageFile, int]]:
    """Opens, gates and fully decodes; gives the loaded picture and its EXIF orientation (1 to 8)."""
    if not data:
        raise RefusedImage("empty", "The file is empty: copy it again from where it came.")
    if len(data) > limits.max_bytes:
        raise RefusedImage(
            "too_large", f"The file has {len(data):,} bytes, more than the limit of {limits.max_bytes:,}."
        )
    check_structure(data)
    # Another library in the process may have switched this on, and then cut-off files would pass as whole.
    ImageFile.LOAD_TRUNCATED_IMAGES = False
    PngImagePlugin.MAX_TEXT_CHUNK = PngImagePlugin.MAX_TEXT_MEMORY = _MOST_PNG_TEXT
    with ExitStack() as held:
        if canvas := webp_size(data):
            _admit(held, "WEBP", canvas, limits)
        image = _open(data)
        _check_pixels("", image.size, limits)
        if image.mode not in SUPPORTED_MODES:
            raise RefusedImage(
                "unsupported_mode", f"The colour mode {image.mode!r} is not supported: convert the image to RGB."
            )
        orientation = _orientation(image)
        if draft_side is not None and image.format in ("JPEG", "MPO"):
            image.draft(image.mode, (draft_side, draft_side))
        if not canvas:
            _admit(held, image.format or "", image.size, limits)
        try:
            image.load()
            if image.format in ("JPEG", "MPO") and ends_early(image, data, draft_side):
                raise truncated()
        except RefusedImage:
            raise
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise RefusedImage("too_many_pixels", "A frame claims far too many pixels.") from None
        except Exception as error:
            raise damaged(error) from error
        # A later picture that is damaged is damage, whoever asks.
        _frames(image)
        yield image, orientation


@cache
def _formats() -> tuple[str, ...]:
    more = ["AVIF"] if features.check("avif") else []
    if importlib.util.find_spec("pillow_heif"):
        importlib.import_module("pillow_heif").register_heif_opener()
        more.append("HEIF")
    return (*FORMATS, *more)


def _open(data: bytes) -> ImageFile.ImageFile:
    try:
        return Image.open(io.BytesIO(data), formats=_formats())
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise RefusedImage("too_many_pixels", "The header claims far too many pixels.") from None
    except UnidentifiedImageError:
        raise unidentified(data, _formats()) from None
    except Exception as error:
        raise damaged(error) from error


def _admit(held: ExitStack, kind: str, size: tuple[int, int], limits: ImageLimits) -> None:
    """Checks a size and waits until there is memory for it."""
    _check_pixels(kind, size, limits)
    held.enter_context(MEMORY.take(size[0] * size[1] * _CANVASES.get(kind, _BYTES_A_PIXEL)))


def _check_pixels(kind: str, size: tuple[int, int], limits: ImageLimits) -> None:
    # Pillow only warns between its own limit and twice that; a warning is a refusal here. Compared by hand,
    # since turning warnings into errors for a moment is not safe with several threads.
    most = min(limits.max_pixels, Image.MAX_IMAGE_PIXELS or limits.max_pixels)
    most = min(most, MEMORY.whole // _CANVASES[kind]) if kind in _CANVASES else most
    if size[0] * size[1] > most:
        raise RefusedImage(
            "too_many_pixels",
            f"The image claims {size[0]} x {size[1]} pixels, more than the limit of {most:,}: scale it down.",
        )


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
        raise damaged(error) from error
