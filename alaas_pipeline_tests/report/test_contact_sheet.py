import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from alaas_pipeline.report.contact_sheet import PREVIEW_SIDE, Tile, contact_sheet, inline_markdown


def photo(colour: str = "red", size: tuple[int, int] = (300, 200)) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", size, colour).save(out, "PNG")
    return out.getvalue()


def noise(seed: int) -> bytes:
    out = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    Image.fromarray(values).save(out, "PNG")
    return out.getvalue()


def opened(data: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(data))
    assert image.format == "JPEG"
    return image.convert("RGB")


def near(image: Image.Image, xy: tuple[int, int], colour: tuple[int, int, int]) -> bool:
    pixel = image.getpixel(xy)
    assert isinstance(pixel, tuple)
    return all(abs(int(a) - b) < 30 for a, b in zip(pixel, colour, strict=True))


def embedded(markdown: str) -> list[Image.Image]:
    return [opened(base64.b64decode(d)) for d in re.findall(r"data:image/jpeg;base64,([A-Za-z0-9+/=]+)\)", markdown)]


def test_tiles_stand_in_reading_order() -> None:
    colours = ("red", "lime", "blue")
    sheet = opened(contact_sheet([Tile(photo(c, (80, 80)), c) for c in colours], columns=2, side=100))
    cell = sheet.height // 2
    assert near(sheet, (60, 60), (255, 0, 0))
    assert near(sheet, (170, 60), (0, 255, 0))
    assert near(sheet, (60, 60 + cell), (0, 0, 255))
    assert near(sheet, (170, 60 + cell), (255, 255, 255))


def test_captions_are_drawn_below_their_tile() -> None:
    plain = np.asarray(opened(contact_sheet([Tile(photo(), "")], side=120)))
    captioned = np.asarray(opened(contact_sheet([Tile(photo(), "1. ünï.jpg\noutlier")], side=120)))
    assert (plain[132:] > 200).all()
    dark = captioned[132:].max(axis=2).min(axis=1) < 120
    assert dark.sum() > 12


@pytest.mark.parametrize("data", [b"", b"no image", photo()[:90]], ids=["empty", "text", "truncated"])
def test_an_image_that_cannot_be_decoded_is_a_grey_tile_with_words(data: bytes) -> None:
    sheet = opened(contact_sheet([Tile(data, "broken"), Tile(photo("blue", (90, 90)), "good")], side=100))
    assert near(sheet, (14, 14), (216, 222, 228))
    tile = np.asarray(sheet)[10:110, 10:110]
    assert (tile < 110).all(axis=2).any()
    assert near(sheet, (170, 60), (0, 0, 255))


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (3000, 1), (5, 5)])
def test_odd_sizes_fit_their_cell(size: tuple[int, int]) -> None:
    sheet = opened(contact_sheet([Tile(photo("red", size), "odd"), Tile(photo("blue", (9, 9)), "")], side=64))
    assert sheet.width == 2 * 64 + 3 * 10
    assert near(sheet, (116, 40), (0, 0, 255))


@pytest.mark.parametrize("caption", ["x" * 5000, "a b " * 900, "\n\n\n", "猫\u202e\x00\x1b[31m", "\ud800.jpg"])
def test_no_caption_breaks_a_sheet_or_a_preview(caption: str) -> None:
    assert opened(contact_sheet([Tile(photo(), caption)], side=80)).width == 100
    assert len(embedded(inline_markdown([Tile(photo(), caption)]))) == 1


def test_a_sheet_too_tall_for_a_jpeg_gets_more_columns() -> None:
    sheet = opened(contact_sheet([Tile(b"", "")] * 500, columns=1, side=100))
    assert 500 * 100 / 2 < sheet.height < 65_500
    assert sheet.width == 2 * 100 + 3 * 10


def test_no_tiles_and_senseless_sizes() -> None:
    assert (np.asarray(opened(contact_sheet([]))) < 110).any()
    for columns, side in ((0, 100), (4, 0)):
        with pytest.raises(ValueError, match="positive"):
            contact_sheet([Tile(photo(), "")], columns, side)


def test_preview_is_a_table_of_sixteen_small_images() -> None:
    text = inline_markdown([Tile(photo(), f"{n}. a|b_[c].jpg") for n in range(20)])
    images = embedded(text)
    assert len(images) == 16
    assert {max(image.size) for image in images} == {PREVIEW_SIDE}
    rows = text.splitlines()
    assert rows[1] == "|" + ":---:|" * 6
    assert rows[2].startswith(r"| 0. a\|b\_\[c\].jpg | 1. ")
    assert rows[-1] == "4 more images are not shown here."
    assert len({len(re.findall(r"(?<!\\)\|", row)) for row in rows[:5]}) == 1


def test_a_short_preview_has_as_many_columns_as_images() -> None:
    rows = inline_markdown([Tile(photo(), "a"), Tile(b"", "b")]).splitlines()
    assert rows[1] == "|:---:|:---:|"
    assert rows[2] == "| a | b |"
    assert inline_markdown([]) == "No images."


@pytest.mark.parametrize("limit", [0, 30, 3_000, 20_000, 48_000])
def test_preview_never_passes_the_limit_even_for_noise(limit: int) -> None:
    text = inline_markdown([Tile(noise(n), "é" * 80) for n in range(16)], limit_bytes=limit)
    assert len(text.encode()) <= limit
    shown = len(embedded(text))
    assert shown == 16 if limit == 48_000 else shown < 16
    if 0 < shown < 16:
        assert f"{16 - shown} more" in text
