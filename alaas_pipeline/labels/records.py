"""What an export holds, after checking: each of its records is either a label record or quarantined."""

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from alaas_pipeline.avala.redact import redact, redact_tree

Outcome = Literal["labelled", "refused", "pending"]

_LONGEST_SAMPLE = 2_000


@dataclass(frozen=True)
class LabelRecord:
    """The outcome for one image.

    Attributes:
        key: the item's key on the platform, by which it is joined to the image.
        outcome: ``labelled``, ``refused`` by the annotators, or ``pending``.
        labels: distinct labels in the order of the annotations; empty unless labelled.
        annotations: each as `Annotation.to_json` returns it.
        reason: why the annotators refused it, if they did.
        width: width in pixels of the image that the annotations count in: as shown, if that is known.
        height: its height in pixels.
    """

    key: str
    outcome: Outcome
    labels: list[str]
    annotations: list[dict[str, Any]]
    reason: str | None
    width: int | None
    height: int | None


@dataclass(frozen=True)
class Quarantined:
    """A record that cannot be landed: a redacted, shortened sample of it with its ``key`` if it has one, and why."""

    record: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class ExportContent:
    """A whole export: ``len(records) + len(quarantined)`` is the number of records in the file.

    A record is an image. An annotation of an image that the file does not have is a record of its own, quarantined.

    Attributes:
        records: what can be landed, in file order.
        quarantined: what cannot.
        schema: the label names, sorted: those that the file declares, else those in use.
        schema_digest: SHA-256 of the schema, in hex.
        digest: SHA-256 of the file, in hex.
        declared: whether the file itself declares the names in `schema`.
    """

    records: list[LabelRecord]
    quarantined: list[Quarantined]
    schema: list[str]
    schema_digest: str
    digest: str
    declared: bool = False


class BadRecordError(Exception):
    """One record cannot be landed; the message is the reason."""


@dataclass
class Sorting:
    """The books of one file while it is read: every record that was taken is in exactly one of the two lists.

    A record is landed or quarantined whole, also when only one of its annotations is bad: a half-labelled image
    teaches that the rest of it is empty, which is worse than an image that comes late.
    """

    records: list[LabelRecord] = field(default_factory=list)
    quarantined: list[Quarantined] = field(default_factory=list)

    def take(self, record: Any, key: str | None, read: Callable[[], LabelRecord]) -> None:
        """Read a record, or quarantine it with the reason why it cannot be read."""
        try:
            self.records.append(read())
        except BadRecordError as fault:
            self.quarantined.append(quarantine(record, str(fault), key))


def quarantine(record: Any, reason: str, key: str | None = None) -> Quarantined:
    """Keep a redacted sample of a record that is refused, at most some 2,000 characters long, beside its key."""
    text = json.dumps(redact_tree(record, max_depth=6), ensure_ascii=False).encode(errors="replace").decode()
    named = {} if key is None else {"key": redact(key)}
    # Numbers that are not finite are no JSON, so they are kept as words.
    sample = json.loads(text, parse_constant=str) if len(text) <= _LONGEST_SAMPLE else None
    if not isinstance(sample, dict):
        sample = {"sample": text[:_LONGEST_SAMPLE]}
    return Quarantined(sample | named, redact(reason.encode(errors="replace").decode()))
