"""JPEGs whose data end before the picture does although the file goes on to its end."""

import io
from typing import Final

from PIL import Image, ImageFile

from alaas_pipeline.engine.file_structure import jpeg_end

# What a decoder fills in, and bytes that decode to something else.
_FILLING: Final = frozenset({127, 128})
_OTHER_DATA: Final = bytes(range(1, 200)) * 2
_ROWS_AT_A_TIME: Final = 512


def ends_early(image: ImageFile.ImageFile, data: bytes, draft_side: int | None) -> bool:
    """Tells whether a JPEG lacks data before its end, where decoders fill in grey and say nothing.

    Cameras that lose a packet make such files. Where the last pixel is that grey, the picture is decoded again
    with more data before the end: of a whole picture that changes nothing.

    Args:
        image: The picture, decoded.
        data: Its whole file.
        draft_side: What `image` was drafted to before it was decoded.
    """
    last = image.getpixel((image.width - 1, image.height - 1))
    if not _FILLING.issuperset(last if isinstance(last, tuple) else (last,)) or (end := jpeg_end(data)) is None:
        return False
    other = Image.open(io.BytesIO(data[:end] + _OTHER_DATA + data[end:]), formats=("JPEG",))
    if draft_side is not None:
        other.draft(other.mode, (draft_side, draft_side))
    strips = [
        (0, top, image.width, min(top + _ROWS_AT_A_TIME, image.height))
        for top in range(0, image.height, _ROWS_AT_A_TIME)
    ]
    return any(image.crop(strip).tobytes() != other.crop(strip).tobytes() for strip in reversed(strips))
