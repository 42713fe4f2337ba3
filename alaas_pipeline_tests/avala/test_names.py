import hashlib
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alaas_pipeline.avala.names import MAX_NAME, file_name, remote_name
from alaas_pipeline.config import MAX_KEY
from alaas_pipeline.ledger.rounds import round_key
from alaas_pipeline_tests.builders import STEADY

DIGEST = hashlib.sha256(b"x").hexdigest()
SHORT = DIGEST[:16]


@pytest.mark.parametrize(
    ("image_id", "format", "name"),
    [
        ("photo 1.PNG", "png", f"photo 1__{SHORT}.png"),
        ("cats/sleeping/photo 1.PNG", "jpeg", f"cats__sleeping__photo 1__{SHORT}.jpg"),
        ("cats/photo.jpeg", "jpeg", f"cats__photo__{SHORT}.jpg"),
        ("a/b/c/d/e.tif", "tiff", f"a__d__e__{SHORT}.tiff"),
        ("a__b/c__d.png", "png", f"a_b__c_d__{SHORT}.png"),
        ("no_suffix", "webp", f"no_suffix__{SHORT}.webp"),
        ("a\nb\\c:d.png", "png", f"a_b_c_d__{SHORT}.png"),
        ("_/ ._. .png", "png", f"image__image__{SHORT}.png"),
        ("写真/猫 🐈.png", "png", f"写真__猫 🐈__{SHORT}.png"),
        ("cafe\u0301.jpg", "jpeg", f"café__{SHORT}.jpg"),
    ],
)
def test_file_names(image_id: str, format: str, name: str) -> None:
    assert file_name(image_id, DIGEST, format) == name


@STEADY
@given(st.lists(st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1), min_size=1, max_size=6))
def test_every_file_name_is_flat_short_composed_and_tells_depth(parts: list[str]) -> None:
    parts = [part if part not in (".", "..") else "x" for part in parts]
    name = file_name("/".join(parts), DIGEST, "jpeg")
    assert len(name.encode()) <= 255
    assert not set(name) & set("/\\:\n\r\t\0")
    assert name == unicodedata.normalize("NFC", name)
    # At the top of the source there are two parts, name and digest; below a folder three or more.
    pieces = name.split("__")
    assert len(pieces) == 2 if len(parts) == 1 else len(pieces) == min(len(parts), 3) + 1
    assert pieces[-1] == f"{SHORT}.jpg"
    assert all(pieces)


def test_long_names_are_cut_between_characters() -> None:
    name = file_name(f"{'猫' * 80}/{'é' * 200}/x/{'🐈' * 60}q.png", DIGEST, "png")
    assert name == f"{'猫' * 26}__x__{'🐈' * 15}__{SHORT}.png"


def test_two_contents_of_one_path_have_two_names() -> None:
    other = hashlib.sha256(b"y").hexdigest()
    assert file_name("a.png", DIGEST, "png") != file_name("a.png", other, "png")


def test_remote_names_fit_for_the_longest_key() -> None:
    name = remote_name(round_key("k" * MAX_KEY, 9999), DIGEST)
    assert len(name) <= MAX_NAME
    assert name == f"alaas-{'k' * MAX_KEY}-r9999-{DIGEST[:12]}"
    assert remote_name("cats.r0001", DIGEST) != remote_name("cats.r0001", DIGEST[::-1])
