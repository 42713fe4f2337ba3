"""Many images at a glance: a sheet as one JPEG, and a preview small enough to live inside Markdown."""

import base64
import io
import logging
import math
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from alaas_pipeline.engine.images import RefusedImage, thumbnail
from alaas_pipeline.report.tables import escape_markdown, one_line

logger = logging.getLogger(__name__)

PREVIEW_TILES = 16
PREVIEW_SIDE = 96

_PREVIEW_COLUMNS = 6
_QUALITIES = (60, 45, 30)
_CAPTION_LINES = 2
_GAP = 10
# The format's own limit for either side.
_JPEG_SIDE = 65_000
_PAPER, _INK, _BLANK, _BLANK_INK = "#ffffff", "#24292f", "#d8dee4", "#424a53"


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Attributes:
        data: the image file's bytes, in any format that the engine reads.
        caption: a short text below it; two lines fit.
    """

    data: bytes
    caption: str


def contact_sheet(tiles: Sequence[Tile], columns: int = 8, side: int = 160) -> bytes:
    """Draw all tiles in rows, each with its caption.

    An image that cannot be decoded becomes a grey tile with the reason. A sheet that would be taller than a
    JPEG can be gets more columns.

    Args:
        tiles: the images, in the order in which they shall stand.
        columns: tiles per row.
        side: pixels of the longer side of every image.

    Returns:
        The bytes of a JPEG; with no tiles, of one that says so.

    Raises:
        ValueError: `columns` or `side` is not positive.
    """
    if columns < 1 or side < 1:
        raise ValueError(f"columns ({columns}) and side ({side}) must be positive")
    if not tiles:
        return _jpeg(_blank("no images", max(side, 96)), 85)
    font = _font(max(11, side // 12))
    line = _line_height(font)
    height = side + _CAPTION_LINES * line + 4 + _GAP
    columns = min(len(tiles), max(columns, math.ceil(len(tiles) * height / (_JPEG_SIDE - height))))
    rows = math.ceil(len(tiles) / columns)
    sheet = Image.new("RGB", (columns * (side + _GAP) + _GAP, rows * height + _GAP), _PAPER)
    draw = ImageDraw.Draw(sheet)
    for number, tile in enumerate(tiles):
        left = _GAP + number % columns * (side + _GAP)
        top = _GAP + number // columns * height
        picture = _picture(tile, side)
        sheet.paste(picture, (left + (side - picture.width) // 2, top + side - picture.height))
        for row, text in enumerate(_wrap(tile.caption, font, side, _CAPTION_LINES)):
            middle = left + (side - font.getlength(text)) / 2
            draw.text((middle, top + side + 4 + row * line), text, fill=_INK, font=font)
    return _jpeg(sheet, 85)


def inline_markdown(tiles: Sequence[Tile], *, limit_bytes: int = 48_000) -> str:
    """Return a preview as a Markdown table that holds its own images.

    At most 16 thumbnails of 96 pixels. What would not fit below the limit is saved first in quality, then in
    the number of images, and the text says how many are not shown.

    Args:
        tiles: the images; the first ones are shown.
        limit_bytes: the result in UTF-8 is never longer. An event log keeps every preview for good.
    """
    pictures = [_picture(tile, PREVIEW_SIDE) for tile in tiles[:PREVIEW_TILES]]
    captions = [tile.caption for tile in tiles[:PREVIEW_TILES]]
    for quality, count in [*((q, len(pictures)) for q in _QUALITIES), *_fewer(len(pictures))]:
        encoded = [base64.b64encode(_jpeg(picture, quality)).decode() for picture in pictures[:count]]
        text = _preview(encoded, captions, len(tiles))
        if len(text.encode()) <= limit_bytes:
            return text
    return ""


def _fewer(count: int) -> list[tuple[int, int]]:
    return [(_QUALITIES[-1], fewer) for fewer in range(count - 1, -1, -1)]


def _preview(encoded: Sequence[str], captions: Sequence[str], total: int) -> str:
    cells = []
    for data, caption in zip(encoded, captions, strict=False):
        short = escape_markdown(_shorten(one_line(caption), 60))
        cells.append((f"![{short}](data:image/jpeg;base64,{data})", short))
    width = min(_PREVIEW_COLUMNS, len(cells))
    lines = []
    for start in range(0, len(cells), _PREVIEW_COLUMNS):
        row = cells[start : start + _PREVIEW_COLUMNS]
        row += [("", "")] * (width - len(row))
        lines.append(f"| {' | '.join(image for image, _ in row)} |")
        if not start:
            lines.append(f"|{':---:|' * width}")
        lines.append(f"| {' | '.join(caption for _, caption in row)} |")
    hidden = total - len(cells)
    if hidden:
        lines += ["", f"{hidden:,} more {'image is' if hidden == 1 else 'images are'} not shown here."]
    return "\n".join(lines).strip() or "No images."


def _picture(tile: Tile, side: int) -> Image.Image:
    try:
        image = Image.open(io.BytesIO(thumbnail(tile.data, side, quality=92)))
        image.load()
        return image
    except RefusedImage as error:
        logger.info("No picture for %s: %s", one_line(tile.caption), error)
        return _blank(error.reason.replace("_", " "), side)


def _blank(reason: str, side: int) -> Image.Image:
    image = Image.new("RGB", (side, side), _BLANK)
    font = _font(max(11, side // 10))
    lines = _wrap(reason, font, side - 8, 4)
    top = (side - len(lines) * _line_height(font)) / 2
    draw = ImageDraw.Draw(image)
    for row, text in enumerate(lines):
        position = ((side - font.getlength(text)) / 2, top + row * _line_height(font))
        draw.text(position, text, fill=_BLANK_INK, font=font)
    return image


def _jpeg(image: Image.Image, quality: int) -> bytes:
    out = io.BytesIO()
    image.save(out, "JPEG", quality=quality, optimize=True)
    return out.getvalue()


def _wrap(text: str, font: ImageFont.FreeTypeFont, width: float, lines: int) -> list[str]:
    """Break a text into lines that fit, at spaces where possible; what is left over becomes an ellipsis."""
    rest, result = text.strip(), []
    while rest and len(result) < lines:
        first, newline, after = rest.partition("\n")
        rest = one_line(first).strip()
        # No character is narrower than a pixel, so longer texts need not be measured whole.
        lengths = range(1, min(len(rest), int(width) + 1) + 1)
        fits = max(1, bisect_right(lengths, width, key=lambda n: font.getlength(rest[:n])))
        if fits < len(rest):
            if len(result) == lines - 1:
                while fits > 1 and font.getlength(f"{rest[:fits]}…") > width:
                    fits -= 1
                return [*result, f"{rest[:fits].rstrip()}…"]
            space = rest.rfind(" ", 1, fits + 1)
            fits = space if space > 0 else fits
        result.append(rest[:fits].strip())
        rest = f"{rest[fits:].strip()}{newline}{after}".strip()
    return result


def _shorten(text: str, length: int) -> str:
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _line_height(font: ImageFont.FreeTypeFont) -> int:
    return math.ceil(font.size * 1.25)


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib carries with it: Latin, Greek, Cyrillic and more on any machine."""
    import matplotlib as mpl

    return ImageFont.truetype(Path(mpl.get_data_path(), "fonts/ttf/DejaVuSans.ttf"), size)
