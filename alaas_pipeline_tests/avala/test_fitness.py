"""Which files the platform takes."""

import pytest

from alaas_pipeline.avala.fitness import MAX_IMAGE_BYTES, content_type_for, platform_refusal, suffix_for


@pytest.mark.parametrize(
    ("format", "suffix", "content_type"),
    [
        ("JPEG", ".jpg", "image/jpeg"),
        ("jpg", ".jpg", "image/jpeg"),
        ("MPO", ".jpg", "image/jpeg"),
        ("png", ".png", "image/png"),
        ("WEBP", ".webp", "image/webp"),
        ("BMP", ".bmp", "image/bmp"),
        ("TIFF", ".tiff", "image/tiff"),
    ],
)
def test_accepted_formats(format: str, suffix: str, content_type: str) -> None:
    assert platform_refusal(format, MAX_IMAGE_BYTES) is None
    assert (suffix_for(format), content_type_for(format)) == (suffix, content_type)


@pytest.mark.parametrize("format", ["GIF", "HEIF", "", "pdf"])
def test_other_formats_are_refused_with_a_reason(format: str) -> None:
    assert "not accepted" in (platform_refusal(format, 10) or "")
    with pytest.raises(ValueError, match="not a format"):
        suffix_for(format)


def test_too_many_bytes_are_refused_with_the_size() -> None:
    assert "20.1 MB" in (platform_refusal("png", MAX_IMAGE_BYTES + 100_000) or "")
