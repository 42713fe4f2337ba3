"""Pictures for people to look at: an image's size as it is shown, and small JPEGs of it, kept in memory."""

import io
import threading
from collections import OrderedDict

from PIL import Image, ImageOps

from alaas_pipeline.sandbox.blobs import Blobs

CACHE_BYTES = 64 * 1024 * 1024
TRANSPOSED = (5, 6, 7, 8)
ORIENTATION = 0x0112


def shown_size(blobs: Blobs, digest: str) -> tuple[int, int] | None:
    """Width and height in pixels after the EXIF orientation; None for what is no image."""
    try:
        with Image.open(blobs.path(digest)) as image:
            turned = image.getexif().get(ORIENTATION) in TRANSPOSED
            return (image.height, image.width) if turned else image.size
    # A damaged file can raise almost anything from inside a codec.
    except Exception:
        return None


class Thumbnails:
    """Makes JPEGs that fit into a square, and keeps the ones asked for last, up to 64 MiB.

    Args:
        blobs: where the images lie.
        limit: bytes to keep.
    """

    def __init__(self, blobs: Blobs, limit: int = CACHE_BYTES) -> None:
        self._blobs = blobs
        self._limit = limit
        self._kept: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()
        # A page of large images is asked for all at once: decoded all at once they would fill the memory.
        self._decoding = threading.Semaphore(4)

    def jpeg(self, digest: str, side: int) -> bytes | None:
        """An image the right way up, neither side longer than ``side`` pixels; None for what is no image."""
        with self._lock:
            if (digest, side) in self._kept:
                self._kept.move_to_end((digest, side))
                return self._kept[digest, side]
        with self._decoding:
            made = self._make(digest, side)
        if made is not None:
            self._keep((digest, side), made)
        return made

    def _make(self, digest: str, side: int) -> bytes | None:
        try:
            with Image.open(self._blobs.path(digest)) as image:
                image.draft("RGB", (side, side))
                turned = ImageOps.exif_transpose(image)
            if turned.mode.startswith(("I", "F")):
                # More than 8 bits: the range that the image uses is stretched over what a JPEG can show.
                turned = turned.convert("F")
                low, high = (float(end) for end in turned.getextrema() if isinstance(end, int | float))
                scale = 255 / max(high - low, 1e-9)
                turned = turned.point(lambda value: value * scale - low * scale).convert("L")
            turned.thumbnail((side, side))
            flat = turned.convert("RGBA")
            paper = Image.new("RGB", flat.size, "white")
            paper.paste(flat, mask=flat.getchannel("A"))
            out = io.BytesIO()
            paper.save(out, "JPEG", quality=85)
            return out.getvalue()
        # See `shown_size`; a decompression bomb is one of them.
        except Exception:
            return None

    def _keep(self, name: tuple[str, int], made: bytes) -> None:
        with self._lock:
            if name not in self._kept:
                self._kept[name] = made
                self._bytes += len(made)
            while self._bytes > self._limit:
                _, dropped = self._kept.popitem(last=False)
                self._bytes -= len(dropped)
