"""Take in what is labelled already, from a file or from a dataset on Avala: such images are never picked or bought again.

Each record of the file is joined to an image and landed, or quarantined with the reason: in = landed + quarantined.
"""

import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects.dataset_export import export_dataset
from alaas_pipeline.avala.redact import redact
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.given import MAX_BYTES, Given, read_given
from alaas_pipeline.labels.names import PoolNames
from alaas_pipeline.labels.records import BadRecordError, ExportContent
from alaas_pipeline.ledger import Ledger, Transaction, imports, label_names, landing, pools, rounds
from alaas_pipeline.ledger.landing import Outcome
from alaas_pipeline.locks import locked
from alaas_pipeline.store import Store

log = logging.getLogger(__name__)

LOCK_S = 900.0


@dataclass(frozen=True)
class Imported:
    """What became of a file: `records` = `landed` + len(`quarantined`).

    Attributes:
        key: of the import; None when nothing was written.
        origin: name of the file, or uid of the dataset.
        test_set: whether the images are to measure with, and not to learn from.
        landed: how many records landed, one image each.
        quarantined: the name of each record that was set aside, as far as it has one, and why.
        known: the import that brought the same file before, which changes nothing.
        names: names of labels that nobody accepted, in words; empty when there are none.
    """

    key: str | None
    origin: str
    test_set: bool
    landed: int = 0
    quarantined: tuple[tuple[str, str], ...] = ()
    known: str | None = None
    names: str = ""

    @property
    def records(self) -> int:
        """How many records the file has."""
        return self.landed + len(self.quarantined)


@dataclass(frozen=True)
class Importer:
    """Imports into one pool.

    Args:
        ledger: knows the pool's images, and keeps the labels.
        store: keeps each imported file.
        locks: the folder of lock files.
        settings: the pool.
        by: who imports.
        test_set: let the images be a test set: never picked, never trained on.
        accept_names: accept names of labels that the pool does not know.
    """

    ledger: Ledger
    store: Store
    locks: Path
    settings: PoolSettings
    by: str
    test_set: bool = False
    accept_names: bool = False

    def from_file(self, path: Path, *, dry_run: bool = False) -> Imported:
        """Import a file or folder of labels; with `dry_run` only tell what would become of it.

        Raises:
            UserError: the pool has no images yet, the file cannot be read as a whole, or it has names of labels that nobody accepted.
        """
        names = self._names()
        return self._take(path.name or str(path), read_given(path, names), names, dry_run=dry_run)

    def from_dataset(self, client: AvalaClient, uid: str, **waiting: float) -> Imported:
        """Import what a dataset on Avala holds of labels; nothing billable is sent.

        Args:
            client: of the pool's platform.
            uid: of the dataset.
            waiting: times in seconds, as `export_dataset` takes them.

        Raises:
            UserError: the pool has no images yet, or as `export_dataset` says.
        """
        names = self._names()
        export = export_dataset(self.ledger, client, self.locks, self.settings, uid, **waiting)
        with self.ledger.transaction() as tx:
            known = imports.landed_as(tx, self.settings.key, export_uid=export.uid)
        if known:
            return Imported(None, uid, known.test_set, known=known.key)
        with self.store.making(f"pools/{self.settings.key}/imports/export-{export.uid}.bin") as path:
            client.download_export(export, path, max_bytes=MAX_BYTES)
            given = read_given(path, names)
            done = self._take(uid, given, names, export_uid=export.uid)
            # A file that could not be read stays, for people to look at.
            path.unlink(missing_ok=True)
        return done

    def _names(self) -> PoolNames:
        pool = self.settings.key
        with self.ledger.transaction() as tx:
            rows = imports.images_and_files(tx, pool) if pool in pools.known(tx) else ([], [])
        if not rows[0]:
            raise UserError(f"Pool '{pool}' has no images yet. Materialize its 'images' first; nothing was imported.")
        return PoolNames(*rows)

    def _take(
        self, origin: str, given: Given, names: PoolNames, *, export_uid: str | None = None, dry_run: bool = False
    ) -> Imported:
        pool, content = self.settings.key, given.content
        with self._alone() as last:
            with self.ledger.transaction() as tx:
                known = imports.landed_as(tx, pool, digest=content.digest)
                if known:
                    return Imported(None, origin, known.test_set, known=known.key)
                outcomes, quarantined = _join(content, names, imports.labelled(tx, pool))
                used = {label for one in outcomes for label in one.labels}
                unknown = str(
                    label_names.compare(label_names.accepted(tx, pool, self.settings.classes), used, declared=False)
                )
                key = imports.next_key(tx, pool)
            told = tuple((str(sample.get("key") or sample.get("file") or ""), reason) for reason, sample in quarantined)
            if dry_run or not outcomes:
                return Imported(None, origin, self.test_set, len(outcomes), told, names=unknown)
            if unknown and not self.accept_names:
                raise UserError(
                    f"{origin} has names of labels that nobody accepted: {unknown}. Nothing was imported. To accept them, import with "
                    "--accept-names; else mend them in the file."
                )
            file = f"pools/{pool}/imports/{key}/labels{given.ending}"
            self.store.write_bytes(file, given.raw)
            with self.ledger.transaction() as tx:
                if _last_round(tx, pool) != last:
                    raise UserError(f"Pool '{pool}' opened a round meanwhile. Nothing was imported; import again.")
                digests = [one.digest for one in outcomes]
                imports.open_next(tx, pool, origin, digests, test_set=self.test_set, by=self.by)
                if unknown:
                    label_names.accept(tx, pool, used, key, self.by)
                landing.record(
                    tx, pool, key, export_uid=export_uid or origin, export_digest=content.digest, schema=content.schema,
                    schema_digest=content.schema_digest, file=file, outcomes=outcomes, quarantined=quarantined,
                )  # fmt: skip
        log.info("%s: %d records landed, %d set aside", key, len(outcomes), len(quarantined))
        return Imported(key, origin, self.test_set, len(outcomes), told)

    @contextmanager
    def _alone(self) -> Iterator[str | None]:
        """Keep other imports away, and the selection that may be running, which would pick what is imported meanwhile.

        Yields:
            The key of the pool's last round.
        """
        pool = self.settings.key
        with locked(self.locks / f"{pool}.import.lock", f"the imports of pool {pool}", LOCK_S):
            with self.ledger.transaction() as tx:
                last = _last_round(tx, pool)
            if last is None:
                yield None
                return
            with locked(self.locks / f"{last}.select.lock", f"the selection of round {last}", LOCK_S):
                yield last


def _last_round(tx: Transaction, pool: str) -> str | None:
    last = rounds.latest(tx, pool)
    return last.key if last else None


def _join(
    content: ExportContent, names: PoolNames, taken: dict[str, str]
) -> tuple[list[Outcome], list[tuple[str, dict]]]:
    """Join records to images. What has no label, no image of its own or an image that is taken is set aside with the reason."""
    quarantined = [(one.reason, one.record) for one in content.quarantined]
    found: dict[str, tuple[str, bool]] = {}
    reasons: dict[str, str] = {}
    for record in content.records:
        try:
            found[record.key] = names.find(record.key)
        except BadRecordError as fault:
            reasons[record.key] = str(fault)
    sure = Counter(digest for digest, guessed in found.values() if not guessed)
    times = sure | Counter(digest for digest, _ in found.values() if digest not in sure)
    outcomes: list[Outcome] = []
    for record in content.records:
        digest, guessed = found.get(record.key, ("", False))
        if not digest:
            reason = reasons[record.key]
        elif record.outcome != "labelled":
            reason = (
                f"it has no label: the annotators refused it ({record.reason})" if record.reason else "it has no label"
            )
        elif guessed and digest in sure:
            reason = "no image of this path is in the pool, and the image of its file name has a record of its own"
        elif digest in taken:
            reason = f"its image is labelled already by {taken[digest]}"
        elif times[digest] > 1:
            reason = f"{times[digest]} records are about its image: which one is right is open"
        else:
            outcomes.append(Outcome(digest, "labelled", record.labels, record.annotations, None))
            continue
        quarantined.append((reason, {"key": redact(record.key)}))
    return outcomes, quarantined
