"""Embedding: from bytes to parts of unit vectors, with the model kept busy and bad images set aside."""

import logging
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alaas_pipeline.engine.encoder import Encoder, PreparingEncoder, usable_processors
from alaas_pipeline.engine.heap import give_back
from alaas_pipeline.engine.images import MEMORY, RefusedImage, upright
from alaas_pipeline.engine.read_ahead import ReadAhead

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

_SAY_EVERY: Final = 5.0
# Measured with the default encoder.
_BYTES_A_PICTURE: Final = 12_000_000
_LARGE_PICTURE: Final = 24_000_000


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
    batch_size: int | None = None,
    part_size: int = 2048,
    workers: int | None = None,
    size_of: Callable[[str], int] = lambda digest: 0,
) -> Generator[EmbeddedPart, None, None]:
    """Embeds images, part by part.

    Images are read in threads, and decoded and prepared in others, some batches ahead of the model, so memory does not
    grow with the number of images. An encoder with `lanes` computes in the same threads as decode: no processor waits
    for another, and there are never more threads at work than processors. An image that cannot be read or decoded is
    reported in its part and stops nothing.

    Args:
        items: Pairs of digest and a function that returns the file's bytes; consumed lazily, in order.
        encoder: Any encoder; one with `prepare` gets that work done in the threads.
        total: How many items will come, for the progress lines.
        batch_size: Pictures handed to the model at once; by default what the encoder names, or 32.
        part_size: Images, good and bad, in a part; the last one may be smaller.
        workers: Threads that decode; by default as many as processors.
        size_of: Bytes of the file with a digest, 0 where they are not known; fewer files are then read ahead.

    Yields:
        Parts in the order of the items. Each image is in exactly one of them.
    """
    stream = iter(items)
    progress = _Progress(total)
    lanes: int = getattr(encoder, "lanes", 0)
    size: int = batch_size or getattr(encoder, "batch_size", 32)
    reading: deque[tuple[str, Callable[[], bytes]]] = deque()
    waiting: deque[tuple[str, Future[Any]]] = deque()
    encoding: deque[_Batch] = deque()
    part = _Part(encoder.dim)
    handed = 0
    pool = ThreadPoolExecutor(workers or usable_processors(), thread_name_prefix="decode")
    try:
        with ReadAhead() as reads:
            while True:
                while reads.room and (item := next(stream, None)):
                    reading.append((item[0], reads.start(item[1], size_of(item[0]))))
                while reading and len(waiting) < (2 + lanes) * size:
                    digest, read = reading.popleft()
                    waiting.append((digest, pool.submit(_ready, read, encoder)))
                if room := min(size, part_size - handed % part_size, len(waiting)):
                    handed += room
                    encoding.append(_Batch([waiting.popleft() for _ in range(room)], encoder, pool if lanes else None))
                elif not encoding:
                    break
                if room and len(encoding) <= lanes:
                    continue
                batch = encoding.popleft()
                part.add(batch)
                progress.advance(batch.size)
                if part.size == part_size:
                    yield part.close()
        if part.size:
            yield part.close()
        progress.end()
    finally:
        pool.shutdown(cancel_futures=True)


def _ready(read: Callable[[], bytes], encoder: Encoder) -> Any:
    draft_side, grey = getattr(encoder, "draft_side", None), getattr(encoder, "takes_grey", False)
    with upright(read(), draft_side=draft_side, grey=grey) as image:
        large = image.width * image.height > _LARGE_PICTURE
        ready = encoder.prepare(image) if isinstance(encoder, PreparingEncoder) else image
    del image
    if large:
        # Too rarely to cost time, and a worker holds a tenth less so.
        give_back()
    return ready


class _Batch:
    """Some pictures on their way through the model."""

    def __init__(
        self, pictures: list[tuple[str, "Future[Any]"]], encoder: Encoder, pool: ThreadPoolExecutor | None
    ) -> None:
        """Waits until the pictures are ready and has the good ones encoded, in the pool if there is one."""
        self.size = len(pictures)
        self.digests: list[str] = []
        self.failed: dict[str, str] = {}
        ready: list[Any] = []
        for digest, future in pictures:
            try:
                ready.append(future.result())
                self.digests.append(digest)
            except Exception as error:
                self.failed[digest] = _reason(error)
        self._vectors: Future[NDArray[np.float32]] = Future()
        if not ready:
            self._vectors.set_result(np.empty((0, encoder.dim), np.float32))
        elif pool is None:
            self._vectors.set_result(_encode(ready, encoder))
        else:
            self._vectors = pool.submit(_encode, ready, encoder)

    def vectors(self) -> "NDArray[np.float32]":
        """Waits for the model; one vector for each of `digests`."""
        return self._vectors.result()


def _encode(pictures: list[Any], encoder: Encoder) -> "NDArray[np.float32]":
    # Not beside the decoding of a very large image.
    with MEMORY.take(len(pictures) * _BYTES_A_PICTURE):
        if isinstance(encoder, PreparingEncoder):
            return encoder.encode_prepared(pictures)
        return encoder.encode(pictures)


class _Part:
    """One part in the making."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._clear()

    def _clear(self) -> None:
        self.size = 0
        self._digests: list[str] = []
        self._vectors: list[NDArray[np.float16]] = []
        self._failed: dict[str, str] = {}

    def add(self, batch: _Batch) -> None:
        """Waits for a batch and takes its vectors over."""
        vectors = batch.vectors()
        self.size += batch.size
        good = np.all(np.isfinite(vectors), axis=1) & np.any(vectors != 0, axis=1)
        self._failed.update(batch.failed)
        self._failed.update(
            {d: "The encoder gave no usable vector." for d, ok in zip(batch.digests, good, strict=True) if not ok}
        )
        self._digests += [digest for digest, ok in zip(batch.digests, good, strict=True) if ok]
        self._vectors.append(vectors[good].astype(np.float16))

    def close(self) -> EmbeddedPart:
        """Hands the part over and starts the next one."""
        empty = np.empty((0, self._dim), np.float16)
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
