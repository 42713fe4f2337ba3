"""Look through a pool's source: read what is new or changed, decode it fully, and list what cannot be used and why."""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from alaas_pipeline.avala.fitness import platform_refusal
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.encoder import usable_processors
from alaas_pipeline.engine.images import ImageLimits, RefusedImage, content_digest, inspect
from alaas_pipeline.engine.read_ahead import ReadAhead
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Ledger, credits, facts, images, pools
from alaas_pipeline.sources import ManifestSource, Source, SourceFile, UnreadableFile
from alaas_pipeline.sources.manifest import BadRow, ManifestRow, read_manifest

log = logging.getLogger(__name__)

CHUNK = 512

# A file's row, and the row of its content.
Examined = tuple[dict[str, Any], dict[str, Any] | None]


@dataclass(frozen=True)
class ManifestReport:
    """How a pool's manifest and its source go together.

    Attributes:
        rows: rows of the manifest.
        matched: rows whose image is in the source.
        unmatched: ids whose image is not, in order; their rows are kept, and count as soon as it is.
        without: files of the source that have no row.
    """

    rows: int
    matched: int
    unmatched: list[str]
    without: int


@dataclass(frozen=True)
class ScanReport:
    """What one look through the source found. All counts are of files.

    Attributes:
        listed: files that may be images.
        read: those of them that were new or changed.
        gone: files that stood there before and do not any more.
        counts: the pool's images now.
        replaced: files with other bytes than before, in order of path.
        manifest: None where the pool has none.
    """

    listed: int
    read: int
    gone: int
    counts: images.Counts
    replaced: tuple[images.Replaced, ...] = ()
    manifest: ManifestReport | None = None


def scan(ledger: Ledger, settings: PoolSettings, source: Source, limits: ImageLimits | None = None) -> ScanReport:
    """Bring the ledger's images of a pool up to date with its source; unchanged files are not read again.

    Images that failed to be embedded get another try at the next embedding.

    Raises:
        UserError: the source is missing or closed, or holds nothing that could be an image; or the manifest is missing or broken, in
            which case nothing is read.
    """
    limits = limits or ImageLimits()
    with ledger.transaction() as tx:
        pools.ensure(tx, settings.key, settings.name)
        credits.grant_up_to(tx, settings.key, settings.credit_grant)
        known = images.known_files(tx, settings.key)
        # Most failures of an image that decodes are of the moment: a network, a file that came back.
        images.forget_failures(tx, settings.key)
        described = facts.record(tx, settings.key, _manifest_rows(settings, source))
    listed: set[str] = set()
    read = 0
    before: dict[str, str] = {}
    changed = _changed(source.list(), known, listed)
    with ThreadPoolExecutor(usable_processors()) as threads, ReadAhead() as reads:
        while chunk := list(islice(changed, CHUNK)):
            found = list(_examined(source, chunk, limits, threads, reads))
            with ledger.transaction() as tx:
                images.record_scan(tx, settings.key, [file for file, _ in found], _distinct(found), [])
            read += len(chunk)
            before |= _replaced(found, known)
            log.info("%s: read %s files of %s so far", settings.key, f"{read:,}", source.name)
    if not listed:
        raise UserError(
            f"Pool '{settings.name}': {source.name} holds no images. Put images there, or correct 'source' in pools.yaml."
        )
    gone = [path for path, row in known.items() if path not in listed and row["gone_at"] is None]
    with ledger.transaction() as tx:
        images.record_scan(tx, settings.key, [], [], gone)
        counts = images.counts(tx, settings.key)
        replaced = tuple(images.replaced(tx, settings.key, before))
    if replaced:
        log.info("%s: %s files have new content and are new images", settings.key, f"{len(replaced):,}")
    log.info(
        "%s: %s files, %s of them new or changed, %s refused",
        settings.key,
        f"{len(listed):,}",
        f"{read:,}",
        f"{counts.refused:,}",
    )
    return ScanReport(len(listed), read, len(gone), counts, replaced, _compare(settings, described, listed))


def _manifest_rows(settings: PoolSettings, source: Source) -> Iterator[facts.Facts]:
    rows: Iterator[ManifestRow | BadRow] = iter(())
    if settings.manifest:
        rows = read_manifest(Path(settings.manifest))
    elif isinstance(source, ManifestSource):
        rows = source.rows()
    for row in rows:
        if isinstance(row, ManifestRow):
            yield facts.Facts(row.path, row.group, row.values)


def _replaced(found: list[Examined], known: dict[str, Any]) -> dict[str, str]:
    """Path -> digest before, of files that were read and have another one now."""
    return {
        row["path"]: known[row["path"]]["digest"]
        for row, _ in found
        if row["digest"] and row["path"] in known and known[row["path"]]["digest"] not in (None, row["digest"])
    }


def _compare(settings: PoolSettings, described: set[str], listed: set[str]) -> ManifestReport | None:
    if not settings.manifest:
        return None
    unmatched = sorted(described - listed)
    report = ManifestReport(len(described), len(described) - len(unmatched), unmatched, len(listed - described))
    log.info(
        "%s: the manifest describes %s of %s files; %s of its rows are of no file in the source",
        settings.key,
        f"{report.matched:,}",
        f"{len(listed):,}",
        f"{len(unmatched):,}",
    )
    return report


def _changed(files: Iterable[SourceFile], known: dict[str, Any], listed: set[str]) -> Iterator[SourceFile]:
    for file in files:
        listed.add(file.path)
        before = known.get(file.path)
        # Of a file whose version is not told, only reading it tells whether it changed.
        told = file.version or file.refused
        if before is None or not told or before["version"] != file.version or before["gone_at"] is not None:
            yield file


def _examined(
    source: Source, files: list[SourceFile], limits: ImageLimits, threads: ThreadPoolExecutor, reads: ReadAhead
) -> Iterator[Examined]:
    """Yield what `_examine` returns, file by file, while later ones are read and decoded."""
    under_way: deque[Future[Examined]] = deque()
    for file in files:
        while not reads.room:
            yield under_way.popleft().result()
        data = reads.start(partial(source.read, file.path, limits.max_bytes, file.version), file.bytes)
        under_way.append(threads.submit(_examine, file, data, limits))
    yield from (one.result() for one in under_way)


def _examine(file: SourceFile, read: Callable[[], bytes], limits: ImageLimits) -> Examined:
    """Return the file's row, and the row of its content unless the file could not be read at all."""
    row: dict[str, Any] = {
        "path": file.path,
        "digest": None,
        "bytes": file.bytes,
        "version": file.version,
        "reason": None,
    }
    try:
        data = read()
    except UnreadableFile as error:
        return row | {"reason": str(error)}, None
    digest = content_digest(data)
    image: dict[str, Any] = {
        "digest": digest, "image_id": file.path, "bytes": len(data), "state": "accepted", "reason": None, "unfit_reason": None,
        "format": None, "mode": None, "width": None, "height": None, "shown_width": None, "shown_height": None, "frames": None, "orientation": None,
    }  # fmt: skip
    try:
        info = inspect(data, limits)
    except RefusedImage as error:
        image |= {"state": "refused", "reason": str(error)}
    else:
        image |= asdict(info) | {"unfit_reason": platform_refusal(info.format, info.bytes)}
    return row | {"digest": digest}, image


def _distinct(found: list[Examined]) -> list[dict[str, Any]]:
    first: dict[str, dict[str, Any]] = {}
    for _, image in found:
        if image is not None and (
            image["digest"] not in first or image["image_id"].encode() < first[image["digest"]]["image_id"].encode()
        ):
            first[image["digest"]] = image
    return list(first.values())
