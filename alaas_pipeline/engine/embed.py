"""Embedding: from bytes to parts of unit vectors, with the model kept busy and bad images set aside."""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alaas_pipeline.engine.encoder import Encoder, PreparingEncoder
from alaas_pipeline.engine.images import MEMORY, RefusedImage, upright

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_SAY_EVERY: Final = 5.0
# Measured with the default encoder.
_BYTES_A_PICTURE: Final = 12_000_000


@dataclass(frozen=True)
class EmbeddedPart:
    """Some images' vectors.

    Attributes:
        digests: The images that have a vector, in the order they came in.
        vectors: float16 of shape (digests, dim), unit length.
        failed: Images without a vector, with the reason as a sentence.
    """

    digests: list[str]
    vectors: "NDArray[np.float16]"
    failed: dict[str, str]


def embed(
    items: Iterable[tuple[str, Callable[[], bytes]]],
    encoder: Encoder,
    *,
    total: int,
    batch_size: int = 32,
    part_size: int = 2048,
    workers: int = 2,
) -> Generator[EmbeddedPart, None, None]:
    """Embeds images, part by part.

    Images are read, decoded and prepared in threads, at most two batches ahead of the model, so memory does
    not grow with the number of images. An image that cannot be read or decoded is reported in its part and
    stops nothing.

    Args:
        items: Pairs of digest and a function that returns the file's bytes; consumed lazily, in order.
        encoder: Any encoder; one with `prepare` gets that work done in the threads.
        total: How many items will come, for the progress lines.
        batch_size: Pictures handed to the model at once.
        part_size: Images, good and bad, in a part; the last one may be smaller.
        workers: Threads that read and decode.

    Yields:
        Parts in the order of the items. Each image is in exactly one of them.
    """
    stream = iter(items)
    progress = _Progress(total)
    waiting: deque[tuple[str, Future[Any]]] = deque()
    part = _Part(encoder)
    pool = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        while True:
            for digest, read in islice(stream, 2 * batch_size - len(waiting)):
                waiting.append((digest, pool.submit(_ready, read, encoder)))
            if not waiting:
                break
            room = min(batch_size, part_size - part.size, len(waiting))
            part.add([waiting.popleft() for _ in range(room)])
            progress.advance(room)
            if part.size == part_size:
                yield part.close()
        if part.size:
            yield part.close()
        progress.end()
    finally:
        pool.shutdown(cancel_futures=True)


def _ready(read: Callable[[], bytes], encoder: Encoder) -> Any:
    with upright(read()) as image:
        return encoder.prepare(image) if isinstance(encoder, PreparingEncoder) else image


class _Part:
    """One part in the making."""

    def __init__(self, encoder: Encoder) -> None:
        self._encoder = encoder
        self._clear()

    def _clear(self) -> None:
        self.size = 0
        self._digests: list[str] = []
        self._vectors: list[NDArray[np.float16]] = []
        self._failed: dict[str, str] = {}

    def add(self, batch: list[tuple[str, Future[Any]]]) -> None:
        """Waits for a batch of pictures and encodes the good ones."""
        self.size += len(batch)
        digests: list[str] = []
        pictures: list[Any] = []
        for digest, future in batch:
            try:
                pictures.append(future.result())
                digests.append(digest)
            except Exception as error:
                self._failed[digest] = _reason(error)
        if not pictures:
            return
        encoder = self._encoder
        prepared = isinstance(encoder, PreparingEncoder)
        # Not beside the decoding of a very large image.
        with MEMORY.take(len(pictures) * _BYTES_A_PICTURE):
            vectors = encoder.encode_prepared(pictures) if prepared else encoder.encode(pictures)
        good = np.all(np.isfinite(vectors), axis=1) & np.any(vectors != 0, axis=1)
        self._failed.update(
            {digest: "The encoder gave no usable vector." for digest, ok in zip(digests, good, strict=True) if not ok}
        )
        self._digests += [digest for digest, ok in zip(digests, good, strict=True) if ok]
        self._vectors.append(vectors[good].astype(np.float16))

    def close(self) -> EmbeddedPart:
        """Hands the part over and starts the next one."""
        empty = np.empty((0, self._encoder.dim), np.float16)
        part = EmbeddedPart(self._digests, np.concatenate([empty, *self._vectors]), self._failed)
        self._clear()
        return part


def _reason(error: Exception) -> str:
    if isinstance(error, RefusedImage):
        return str(error)
    # Only the kind of error: the text of errors from remote stores can hold signed addresses.
    detail = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return f"The image could not be read: {detail}."


class _Progress:
    """Says every few seconds how far the work is, at what rate, and how long it will take."""

    def __init__(self, total: int) -> None:
        self._total, self._done = total, 0
        self._start = self._said = time.monotonic()

    def advance(self, count: int) -> None:
        self._done += count
        now = time.monotonic()
        if now - self._said >= _SAY_EVERY:
            self._said = now
            rate = self._done / (now - self._start)
            left = max(0, self._total - self._done) / rate
            log.info(
                "Embedded %s of %s images, %.0f/s, %.0f s left.",
                f"{self._done:,}",
                f"{self._total:,}",
                rate,
                left,
            )

    def end(self) -> None:
        if self._done:
            took = max(time.monotonic() - self._start, 1e-3)
            log.info("Embedded %s images in %.0f s, %.0f/s.", f"{self._done:,}", took, self._done / took)
