"""Any Pillow mode to plain 8-bit RGB, by rules that are written down.

- Alpha, in any of its forms, is laid over white: hidden colours under transparent pixels never show up.
- 16-bit, 32-bit and floating-point grey is stretched linearly so that its darkest finite pixel becomes
  black and its brightest white, or the other way round in a TIFF that says that its smallest value is white;
  an even picture becomes black, and pixels that are not finite become black. A fixed scale would turn 12-bit
  X-rays in 16-bit files nearly black, and Pillow's own conversion clips them to white.
- Colour at 16 bits a channel keeps the high byte, which is what Pillow reads.
- CMYK and YCbCr follow Pillow's conversion; colour profiles are not applied.
"""

from collections.abc import Iterator

import numpy as np
from PIL import Image

DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
PLAIN_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"})
SUPPORTED_MODES = DEEP_MODES | PLAIN_MODES

# Few, since the C library keeps a multiple of it for each thread.
_PIXELS_AT_A_TIME = 500_000


class NoFinitePixel(ValueError):
    """A floating-point picture holds nothing but NaN and infinities."""


def to_rgb(image: Image.Image, *, negative: bool = False) -> Image.Image:
    """Converts a loaded picture to mode "RGB".

    Args:
        image: A picture in one of `SUPPORTED_MODES`, already decoded.
        negative: The smallest value of deep grey is white and not black.

    Returns:
        A picture of the same size in mode "RGB".

    Raises:
        NoFinitePixel: A floating-point picture has no finite pixel.
    """
    if image.mode in DEEP_MODES:
        return _stretch(image, negative)
    if not image.has_transparency_data:
        return image if image.mode == "RGB" else image.convert("RGB")
    canvas = Image.new("RGB", image.size, (255, 255, 255))
    for top, strip in _strips(image):
        rgba = (strip.convert("LA") if strip.mode == "La" else strip).convert("RGBA")
        canvas.paste(rgba, (0, top), rgba)
    return canvas


def _strips(image: Image.Image) -> Iterator[tuple[int, Image.Image]]:
    """Yields a picture a few rows at a time, with the number of the first, to bound memory."""
    rows = max(1, _PIXELS_AT_A_TIME // image.width)
    for top in range(0, image.height, rows):
        yield top, image.crop((0, top, image.width, min(top + rows, image.height)))


def _stretch(image: Image.Image, negative: bool) -> Image.Image:
    """Maps the span of the finite values to 0..255."""
    low, high = np.inf, -np.inf
    for _, strip in _strips(image):
        values = np.asarray(strip).astype(np.float64)
        finite = values[np.isfinite(values)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise NoFinitePixel("The picture has no finite pixel.")
    # Halved, since the span of two floats can be larger than the largest float.
    span = high / 2 - low / 2
    scale = 127.5 / span if span > 0 and np.isfinite(127.5 / span) else 0.0
    canvas = Image.new("RGB", image.size)
    for top, strip in _strips(image):
        values = np.asarray(strip).astype(np.float64)
        unknown = ~np.isfinite(values)
        values[unknown] = low
        grey = np.rint((values / 2 - low / 2) * (2 * scale)).clip(0, 255).astype(np.uint8)
        if negative and scale:
            grey = np.where(unknown, 0, 255 - grey).astype(np.uint8)
        canvas.paste(Image.fromarray(grey).convert("RGB"), (0, top))
    return canvas
