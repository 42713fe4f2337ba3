"""Bytes that nobody made on purpose: a picture or a refusal comes of them, soon, and nothing else."""

import signal
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from alaas_pipeline.engine.images import FORMATS, ImageLimits, RefusedImage, decode_rgb, inspect, thumbnail
from alaas_pipeline_tests.builders import STEADY
from alaas_pipeline_tests.corpus.case import noise, quarters, saved

# Pillow's, on broken metadata: in a user's process they are no errors.
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::RuntimeWarning")]
KINDS = (*FORMATS, "AVIF")
# A size that a flipped bit puts into a header is allowed up to this, so that an example takes milliseconds.
LIMITS = ImageLimits(max_pixels=1_000_000)
LONGEST_S = 10
REASONS = {
    "empty", "not_an_image", "unsupported_format", "unsupported_mode", "too_large", "too_many_pixels", "too_complex", "truncated",
    "damaged", "no_finite_pixel",
}  # fmt: skip
SHORT = settings(STEADY, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
DEEP = settings(
    deadline=None,
    max_examples=6000,
    suppress_health_check=[HealthCheck.too_slow],
    phases=[Phase.explicit, Phase.generate],
)


@contextmanager
def soon() -> Iterator[None]:
    """Fail a block that takes too long, even inside a decoder that comes back to Python now and then."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"more than {LONGEST_S} s")

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def look(data: bytes) -> str:
    """Decode in each way: all agree, and what is not a picture is refused with a known reason."""
    told = set()
    with soon(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for use in (lambda: inspect(data, LIMITS), lambda: decode_rgb(data, LIMITS)):
            try:
                made: Any = use()
                told.add(getattr(made, "size", None) or (made.shown_width, made.shown_height))
            except RefusedImage as error:
                told.add(error.reason if str(error).endswith(".") else str(error))
        assert len(told) == 1, told
        found = told.pop()
        if isinstance(found, str):
            assert found in REASONS
            return found
        assert thumbnail(data, 16).startswith(b"\xff\xd8\xff")
        return "good"


@cache
def wholes() -> list[bytes]:
    """Small good files of all kinds."""
    made = [saved(noise(7, 24, 16), kind) for kind in KINDS]
    made += [saved(noise(8, 24, 16), "JPEG", progressive=True), saved(noise(9, 24, 16), "WEBP", lossless=True)]
    made += [saved(noise(10, 24, 16), "TIFF", compression=name) for name in ("tiff_lzw", "tiff_adobe_deflate", "jpeg")]
    made += [saved(quarters().convert("I;16"), kind) for kind in ("PNG", "TIFF")]
    made += [saved(quarters().convert(mode), kind) for mode, kind in (("P", "PNG"), ("CMYK", "JPEG"), ("F", "TIFF"), ("LA", "PNG"))]  # fmt: skip
    frames = [noise(seed, 24, 16) for seed in (11, 12)]
    made += [saved(frames[0], kind, save_all=True, append_images=frames[1:]) for kind in ("GIF", "WEBP", "PNG", "TIFF", "MPO")]  # fmt: skip
    return made


@st.composite
def mangled(draw: st.DrawFn) -> bytes:
    """A good file with bytes changed, put in, taken out, doubled, or cut off."""
    data = bytearray(draw(st.sampled_from(wholes())))
    for _ in range(draw(st.integers(1, 6))):
        # Headers stand first, and decide the most.
        at = draw(st.one_of(st.integers(0, min(64, len(data))), st.integers(0, len(data))))
        match draw(st.sampled_from(("flip", "flip", "number", "put", "take", "twice", "cut"))):
            case "flip" if at < len(data):
                data[at] ^= 1 << draw(st.integers(0, 7))
            case "number":
                data[at : at + 4] = draw(
                    st.sampled_from((b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f\xff\xff\xff", b"\0\0\1\0"))
                )
            case "put":
                data[at:at] = draw(st.binary(min_size=1, max_size=40))
            case "take":
                del data[at : at + draw(st.integers(1, 40))]
            case "twice":
                data[at:at] = data[at : at + draw(st.integers(1, 400))]
            case "cut" if at > 8:
                del data[at:]
            case _:
                pass
    return bytes(data)


def headed(data: bytes, kind: int) -> bytes:
    """Any bytes behind the beginning of a good file."""
    whole = wholes()[kind % len(wholes())]
    return whole[: 12 + kind % 60] + data


@given(data=st.binary(max_size=600))
@SHORT
def test_random_bytes(data: bytes) -> None:
    look(data)


@given(data=st.binary(max_size=600), kind=st.integers(0, 2000))
@SHORT
def test_random_bytes_behind_a_good_beginning(data: bytes, kind: int) -> None:
    look(headed(data, kind))


@given(data=mangled())
@settings(SHORT, max_examples=400)
def test_good_files_with_changed_bytes(data: bytes) -> None:
    look(data)


@pytest.mark.faults
@given(data=st.one_of(mangled(), st.builds(headed, st.binary(max_size=2000), st.integers(0, 2000))))
@DEEP
def test_many_more(data: bytes) -> None:
    look(data)
