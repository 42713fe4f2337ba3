"""Download a ready export, keep the file, read it and join each record to the image it is about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.models import Export
from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline.labels.read import read_export
from alaas_pipeline.labels.records import ExportContent
from alaas_pipeline.ledger import Ledger, Transaction, images, landing, pushes
from alaas_pipeline.ledger.landing import Outcome
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.store import Store

MAX_EXPORT_BYTES = 256 << 20


@dataclass(frozen=True)
class Fetched:
    """One export of a round, read and joined.

    Attributes:
        export_uid: which export.
        file: the kept file, by its path in the store.
        content: what it holds.
        outcomes: one for each image that it speaks of.
        quarantined: reason and sample of each record that was set aside.
        sent: digest -> file name of each image that was sent.
        shown: digest -> the name of the image towards people.
    """

    export_uid: str
    file: str
    content: ExportContent
    outcomes: list[Outcome]
    quarantined: list[tuple[str, dict]]
    sent: dict[str, str]
    shown: dict[str, str]

    @property
    def missing(self) -> list[str]:
        """File names of images that were sent and of which the export says nothing."""
        told = {one.digest for one in self.outcomes}
        return sorted(name for digest, name in self.sent.items() if digest not in told)

    def record(
        self,
        tx: Transaction,
        current: Round,
        *,
        state: str = "serves",
        differs: dict[str, Any] | None = None,
        held_for: str | None = None,
    ) -> int:
        """Write it as a version of the round's labels; see `landing.record`."""
        return landing.record(
            tx, current.pool, current.key, export_uid=self.export_uid, export_digest=self.content.digest, schema=self.content.schema,
            schema_digest=self.content.schema_digest, file=self.file, outcomes=self.outcomes, quarantined=self.quarantined, state=state,
            differs=differs, held_for=held_for,
        )  # fmt: skip


def fetch(ledger: Ledger, store: Store, client: AvalaClient, current: Round, export: Export) -> Fetched:
    """Download and read a ready export.

    Raises:
        AvalaError: it cannot be downloaded.
        UserError: its structure is unknown; the file is kept.
    """
    with ledger.transaction() as tx:
        names = {row["file_name"]: row["digest"] for row in pushes.planned(tx, current.key)}
        rows = images.details(tx, current.pool, list(names.values()))
    file = f"pools/{current.pool}/rounds/{current.key}/export-{export.uid}.bin"
    sizes = {name: size for name, digest in names.items() if (size := _size(rows[digest]))}
    with store.making(file) as path:
        client.download_export(export, path, max_bytes=MAX_EXPORT_BYTES)
        content = read_export(path, sizes=sizes, max_file_bytes=MAX_EXPORT_BYTES)
    outcomes, quarantined = _join(content, names)
    sent = {digest: name for name, digest in names.items()}
    shown = {digest: row["image_id"] for digest, row in rows.items()}
    return Fetched(export.uid, file, content, outcomes, quarantined, sent, shown)


def _size(row: Mapping[str, Any]) -> ImageSize | None:
    sides = [row[name] for name in ("width", "height", "shown_width", "shown_height")]
    return None if None in sides else ImageSize((sides[0], sides[1]), (sides[2], sides[3]), row["orientation"])


def _join(content: ExportContent, names: dict[str, str]) -> tuple[list[Outcome], list[tuple[str, dict]]]:
    """Join records to images by file name. An image whose record was set aside is pending, with the reason."""
    quarantined = [(one.reason, one.record) for one in content.quarantined]
    outcomes: dict[str, Outcome] = {}
    for record in content.records:
        digest = names.get(record.key.rsplit("/", 1)[-1])
        if digest is None:
            quarantined.append(("no image of this name was sent in this round", {"key": record.key}))
        elif digest in outcomes:
            quarantined.append(("a second record for the same image", {"key": record.key}))
        else:
            outcomes[digest] = Outcome(digest, record.outcome, record.labels, record.annotations, record.reason)
    for reason, record in quarantined:
        digest = names.get(str(record.get("key", "")).rsplit("/", 1)[-1])
        if digest is not None and digest not in outcomes:
            outcomes[digest] = Outcome(digest, "pending", [], [], f"its record was set aside: {reason}")
    return list(outcomes.values()), quarantined
