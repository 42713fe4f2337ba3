import hashlib
import io
import pickle
import random
import threading
import warnings

import numpy as np
import pytest
from PIL import Image, ImageChops, ImageFile

from alaas_pipeline.engine.images import (
    ImageLimits,
    RefusedImage,
    content_digest,
    decode_rgb,
    inspect,
    thumbnail,
    upright,
)
from alaas_pipeline_tests.engine import nasty

REFUSED = nasty.refused()
ACCEPTED = nasty.accepted()


@pytest.mark.parametrize("name", REFUSED)
def test_bad_files_are_refused_with_a_reason_on_every_path(name: str) -> None:
    data, reasons = REFUSED[name]
    for use in (inspect, decode_rgb, lambda data: thumbnail(data, 16)):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # as in a user's process, where Pillow only warns of bombs
            with pytest.raises(RefusedImage) as caught:
                use(data)
        assert caught.value.reason in reasons
        assert str(caught.value).rstrip().endswith(".")


@pytest.mark.filterwarnings("ignore::UserWarning")  # Pillow's, on metadata; the rest of the project runs without
@pytest.mark.parametrize("name", ACCEPTED)
def test_odd_files_decode_to_what_inspect_promises(name: str) -> None:
    data, kind, shown = ACCEPTED[name]
    info = inspect(data)
    image = decode_rgb(data)
    assert (info.format, info.bytes, info.digest) == (kind, len(data), hashlib.sha256(data).hexdigest())
    assert image.mode == "RGB"
    assert image.size == shown == (info.shown_width, info.shown_height)
    small = Image.open(io.BytesIO(thumbnail(data, 24)))
    assert (small.format, small.mode, max(small.size)) == ("JPEG", "RGB", 24)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_applied_once(kind: str, orientation: int) -> None:
    data = nasty.turned(kind, orientation)
    info = inspect(data)
    stored = (48, 64) if orientation >= 5 else (64, 48)
    assert (info.width, info.height, info.orientation) == (*stored, orientation)
    assert (info.shown_width, info.shown_height) == (64, 48)
    for image in (decode_rgb(data), Image.open(io.BytesIO(thumbnail(data, 64, quality=95)))):
        assert image.size == (64, 48)
        off = np.asarray(ImageChops.difference(image.convert("RGB"), nasty.photo())).mean()
        assert off < 8  # other orientations differ by 60 and more


def test_orientation_out_of_range_is_ignored() -> None:
    exif = Image.Exif()
    exif[0x0112] = 77
    assert decode_rgb(nasty.saved(nasty.photo(), "PNG", exif=exif)).tobytes() == nasty.photo().tobytes()


def test_transparency_is_laid_over_white_and_hides_colour() -> None:
    rgba = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    rgba.putpixel((1, 1), (0, 0, 200, 255))
    image = decode_rgb(nasty.saved(rgba, "PNG"))
    assert image.getpixel((0, 0)) == (255, 255, 255)
    assert image.getpixel((1, 1)) == (0, 0, 200)
    palette = Image.new("P", (2, 1))
    palette.putpalette([9, 9, 9, 200, 0, 0])
    palette.putpixel((1, 0), 1)
    image = decode_rgb(nasty.saved(palette, "PNG", transparency=1))
    assert [image.getpixel((x, 0)) for x in (0, 1)] == [(9, 9, 9), (255, 255, 255)]
    keyed = decode_rgb(nasty.saved(Image.new("RGB", (1, 1), (1, 2, 3)), "PNG", transparency=(1, 2, 3)))
    assert keyed.getpixel((0, 0)) == (255, 255, 255)


def test_grey_stays_grey_only_where_nothing_is_lost() -> None:
    plain = nasty.photo().convert("L")
    kept = {"kept": plain, "colour": nasty.photo(), "deep": Image.new("I;16", (2, 2), 500)}
    modes = {}
    for name, image in kept.items():
        with upright(nasty.saved(image, "PNG"), grey=True) as shown:
            modes[name] = shown.mode
    with upright(nasty.saved(plain, "PNG", transparency=7), grey=True) as keyed:
        modes["transparent"] = keyed.mode
    assert modes == {"kept": "L", "colour": "RGB", "deep": "RGB", "transparent": "RGB"}
    exif = Image.Exif()
    exif[0x0112] = 6
    turned = nasty.saved(plain, "JPEG", exif=exif)
    with upright(turned, grey=True) as grey:
        assert grey.convert("RGB").tobytes() == decode_rgb(turned).tobytes()


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_twelve_bits_in_sixteen_use_the_whole_scale(kind: str) -> None:
    values = np.linspace(0, 4095, 256).astype(np.uint16).reshape(16, 16)
    grey = np.asarray(decode_rgb(nasty.saved(Image.fromarray(values), kind)))[..., 0]
    assert np.abs(grey.astype(int).ravel() - np.arange(256)).max() <= 1


def test_floats_and_whole_numbers_are_stretched() -> None:
    values = np.array([[-2.0, 0.0, 2.0, np.nan]], np.float32)
    image = decode_rgb(nasty.saved(Image.fromarray(values), "TIFF"))
    assert [image.getpixel((x, 0)) for x in range(4)] == [(0,) * 3, (128,) * 3, (255,) * 3, (0,) * 3]
    widest = np.array([[-3e38, 3e38]], np.float32)
    image = decode_rgb(nasty.saved(Image.fromarray(widest), "TIFF"))
    assert [image.getpixel((x, 0)) for x in range(2)] == [(0,) * 3, (255,) * 3]
    high = np.array([[2**31 - 3, 2**31 - 2, 2**31 - 1]], np.int32)
    image = decode_rgb(nasty.saved(Image.fromarray(high), "TIFF"))
    assert [image.getpixel((x, 0)) for x in range(3)] == [(0,) * 3, (128,) * 3, (255,) * 3]
    even = decode_rgb(nasty.saved(Image.new("I;16", (2, 2), 500), "PNG"))
    assert even.getpixel((0, 0)) == (0, 0, 0)


def test_cmyk_keeps_its_colours() -> None:
    plain = np.asarray(nasty.photo(), int)
    seen = np.asarray(decode_rgb(nasty.saved(nasty.photo(mode="CMYK"), "JPEG", quality=95)), int)
    assert np.abs(plain - seen).mean() < 12


def test_animation_gives_its_first_frame_and_its_count() -> None:
    data = nasty.animation()
    assert inspect(data).frames == 3
    assert decode_rgb(data).getpixel((5, 5)) == (255, 0, 0)
    assert inspect(nasty.accepted()["phone"][0]).frames == 1


def test_limits_are_applied_before_decoding() -> None:
    data = nasty.saved(nasty.photo(), "JPEG")
    assert inspect(data, ImageLimits(max_pixels=64 * 48)).width == 64
    with pytest.raises(RefusedImage, match="64 x 48") as caught:
        inspect(data, ImageLimits(max_pixels=64 * 48 - 1))
    assert caught.value.reason == "too_many_pixels"
    with pytest.raises(RefusedImage) as caught:
        inspect(data, ImageLimits(max_bytes=len(data) - 1))
    assert caught.value.reason == "too_large"


def test_limit_above_pillows_own_still_refuses_where_pillow_warns() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(RefusedImage) as caught:
            inspect(nasty.png(9500, 9500), ImageLimits(max_pixels=10**9))
    assert caught.value.reason == "too_many_pixels"


def test_truncation_is_seen_even_if_another_library_told_pillow_to_be_lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)
    data = nasty.saved(nasty.photo(), "JPEG")
    with pytest.raises(RefusedImage) as caught:
        inspect(data[: len(data) // 2])
    assert caught.value.reason == "truncated"


def test_flipped_bytes_never_raise_anything_else() -> None:
    random.seed(3)
    outcomes = {"good": 0, "refused": 0}
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "GIF", "TIFF"):
        whole = nasty.saved(nasty.photo(24, 16), kind)
        for _ in range(40):
            data = bytearray(whole)
            for _ in range(random.choice([1, 3, 12])):
                data[random.randrange(len(data))] = random.randrange(256)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                try:
                    info = inspect(bytes(data))
                    assert decode_rgb(bytes(data)).size == (info.shown_width, info.shown_height)
                    outcomes["good"] += 1
                except RefusedImage:
                    outcomes["refused"] += 1
    assert min(outcomes.values()) > 20


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_decoding_in_threads_gives_the_same_pictures() -> None:
    files = [entry[0] for entry in ACCEPTED.values()]
    expected = [decode_rgb(data).tobytes() for data in files]
    wrong: list[int] = []

    def work() -> None:
        wrong.extend(i for i, data in enumerate(files) if decode_rgb(data).tobytes() != expected[i])

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_thumbnail_keeps_the_shape() -> None:
    assert Image.open(io.BytesIO(thumbnail(nasty.saved(Image.new("L", (400, 100)), "PNG"), 100))).size == (100, 25)
    assert Image.open(io.BytesIO(thumbnail(nasty.saved(Image.new("L", (8, 8)), "PNG"), 100))).size == (100, 100)
    assert Image.open(io.BytesIO(thumbnail(nasty.saved(Image.new("L", (1, 3000)), "PNG"), 50))).size == (1, 50)


def test_digest_and_error_travel() -> None:
    assert content_digest(b"abc") == hashlib.sha256(b"abc").hexdigest()
    copy = pickle.loads(pickle.dumps(RefusedImage("empty", "The file is empty.")))
    assert (copy.reason, str(copy)) == ("empty", "The file is empty.")


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"quality": 90}),
        ("JPEG", {"progressive": True}),
        ("PNG", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("BMP", {}),
        ("GIF", {}),
        ("TIFF", {}),
        ("TIFF", {"compression": "tiff_lzw"}),
    ],
)
def test_a_cut_file_is_refused_or_loses_nothing(kind: str, options: dict[str, object]) -> None:
    whole = nasty.saved(nasty.photo(40, 30), kind, **options)
    pixels = decode_rgb(whole).tobytes()
    refused = 0
    for end in [*range(0, len(whole) - 40, 37), *range(len(whole) - 40, len(whole))]:
        try:
            assert decode_rgb(whole[:end]).tobytes() == pixels, f"cut at {end} of {len(whole)}"
        except RefusedImage:
            refused += 1
    assert refused > len(whole) // 37 - 20
