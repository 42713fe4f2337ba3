"""What is said of an image that cannot be used: a short code and one clear sentence."""

from collections.abc import Collection
from typing import Final

_OWN_MAGIC: Final = (b"\xff\xd8\xff", b"\x89PNG\r\n", b"BM", b"GIF8", b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_TIFF_MAGIC: Final = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
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
_HEIF: Final = (b"heic", b"heix", b"hevc", b"hevx", b"heim", b"heis", b"mif1", b"msf1")
_AVIF: Final = (b"avif", b"avis")


class RefusedImage(Exception):
    """An image that cannot be used, with a short code (`reason`) and one clear sentence (`str()`).

    Codes: "empty", "not_an_image", "unsupported_format", "unsupported_mode", "too_large", "too_many_pixels",
    "too_complex", "truncated", "damaged", "no_finite_pixel".
    """

    def __init__(self, reason: str, message: str) -> None:
        """Keeps the code beside the sentence."""
        super().__init__(message)
        self.reason = reason

    def __reduce__(self) -> tuple[type["RefusedImage"], tuple[str, str]]:
        """Lets the error cross a process border."""
        return type(self), (self.reason, str(self))


def truncated() -> RefusedImage:
    """Says that the file ends too early."""
    return RefusedImage("truncated", "The file ends before the picture does: copy it again.")


def damaged(error: Exception) -> RefusedImage:
    """Says what a decoder's error comes to."""
    words = str(error).lower()
    if isinstance(error, EOFError) or "truncated" in words or "end of file" in words or "eof" in words:
        return truncated()
    if "max_text_chunk" in words or "text chunks" in words:
        return RefusedImage("too_complex", "Texts or profiles beside the picture are far too large: save it without.")
    return RefusedImage("damaged", f"The image cannot be decoded ({type(error).__name__}): export it again.")


def unidentified(data: bytes, formats: Collection[str]) -> RefusedImage:
    """Says what a file is that no decoder took.

    Args:
        data: The whole file.
        formats: Those that there are decoders of.
    """
    head, brand = data[:32].lstrip(), data[8:12]
    if data[4:8] == b"ftyp":
        kind = "AVIF" if brand in _AVIF else "HEIF" if brand in _HEIF else "video or HEIF"
        if kind in formats:
            return RefusedImage("damaged", "The file's header is damaged or cut off: copy it again.")
        if kind == "HEIF":
            return RefusedImage(
                "unsupported_format",
                "The file is HEIC: convert it to JPEG, PNG or WebP, or install the extra alaas-pipeline[heif] to look at it.",
            )
        return RefusedImage("unsupported_format", f"The file is {kind}: convert it to JPEG, PNG or WebP.")
    other = next((name for magic, name in _OTHER_MAGIC if head.startswith(magic)), None)
    if other is not None:
        return RefusedImage("unsupported_format", f"The file is {other}: convert it to JPEG, PNG or WebP.")
    if data.startswith(_TIFF_MAGIC):
        return RefusedImage(
            "damaged", "The file's header is damaged, or this kind of TIFF is not supported: export it as PNG."
        )
    if data.startswith(_OWN_MAGIC) or brand == b"WEBP":
        return RefusedImage("damaged", "The file's header is damaged or cut off: copy it again.")
    return RefusedImage("not_an_image", "The content is not an image, whatever the file is called.")
