"""Any Pillow mode to plain 8-bit RGB, by rules that are written down.

- Alpha, in any of its forms, is laid over white: hidden colours under transparent pixels never show up.
- 16-bit, 32-bit and floating-point grey is stretched linearly so that its darkest finite pixel becomes
  black and its brightest white; an even picture becomes black, and pixels that are not finite become black.
  A fixed scale would turn 12-bit X-rays in 16-bit files nearly black, and Pillow's own conversion clips
  them to white.
- Colour at 16 bits a channel keeps the high byte, which is what Pillow reads.
- CMYK and YCbCr follow Pillow's conversion; colour profiles are not applied.
"""

from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEEP_MODES = frozenset({"I", "F", "I;16", "I;16L", "I;16B", "I;16N"})
PLAIN_MODES = frozenset({"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBa", "RGBX", "CMYK", "YCbCr", "HSV"})
SUPPORTED_MODES = DEEP_MODES | PLAIN_MODES

_ROWS_AT_A_TIME = 512


class NoFinitePixel(ValueError):
    """A floating-point picture holds nothing but NaN and infinities."""


def to_rgb(image: Image.Image) -> Image.Image:
    """Converts a loaded picture to mode "RGB".

    Args:
        image: A picture in one of `SUPPORTED_MODES`, already decoded.

    Returns:
        A picture of the same size in mode "RGB".

    Raises:
        NoFinitePixel: A floating-point picture has no finite pixel.
    """
    if image.mode in DEEP_MODES:
        return Image.fromarray(_stretch(np.asarray(image))).convert("RGB")
    if image.mode == "La":
        image = image.convert("LA")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        canvas = Image.new("RGB", rgba.size, (255, 255, 255))
        canvas.paste(rgba, (0, 0), rgba)
        return canvas
    return image if image.mode == "RGB" else image.convert("RGB")


def _stretch(values: "NDArray[np.generic]") -> "NDArray[np.uint8]":
    """Maps the span of the finite values to 0..255, a few rows at a time to bound memory."""
    low, high = np.inf, -np.inf
    for start in range(0, len(values), _ROWS_AT_A_TIME):
        rows = values[start : start + _ROWS_AT_A_TIME].astype(np.float64)
        finite = rows[np.isfinite(rows)]
        if finite.size:
            low, high = min(low, float(finite.min())), max(high, float(finite.max()))
    if low > high:
        raise NoFinitePixel("The picture has no finite pixel.")
    # Halved, since the span of two floats can be larger than the largest float.
    span = high / 2 - low / 2
    scale = 127.5 / span if span > 0 and np.isfinite(127.5 / span) else 0.0
    grey = np.empty(values.shape, np.uint8)
    for start in range(0, len(values), _ROWS_AT_A_TIME):
        rows = values[start : start + _ROWS_AT_A_TIME].astype(np.float64)
        rows[~np.isfinite(rows)] = low
        grey[start : start + _ROWS_AT_A_TIME] = np.rint((rows / 2 - low / 2) * (2 * scale)).clip(0, 255)
    return grey
