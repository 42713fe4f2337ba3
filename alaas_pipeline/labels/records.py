"""What an export holds, after checking: each of its records is either a label record or quarantined."""

from dataclasses import dataclass
from typing import Any, Literal

import orjson

from alaas_pipeline.avala.redact import redact_tree

Outcome = Literal["labelled", "refused", "pending"]

_LONGEST_SAMPLE = 2_000


@dataclass(frozen=True)
class LabelRecord:
    """The outcome for one image.

    Attributes:
        key: the item's key on the platform, by which it is joined to the image.
        outcome: ``labelled``, ``refused`` by the annotators, or ``pending``.
        labels: distinct labels in the order of the annotations; empty unless labelled.
        annotations: the annotations as exported.
        reason: why the annotators refused it, if they did.
        width: stored width in pixels, if told.
        height: stored height in pixels, if told.
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
    """A record that cannot be landed: a redacted, shortened sample of it, and why."""

    record: dict[str, Any]
    reason: str


@dataclass(frozen=True)
class ExportContent:
    """A whole export: ``len(records) + len(quarantined)`` is the number of records in the file.

    Attributes:
        records: what can be landed, in file order.
        quarantined: what cannot.
        schema: the label names, sorted.
        schema_digest: SHA-256 of the schema, in hex.
        digest: SHA-256 of the file, in hex.
    """

    records: list[LabelRecord]
    quarantined: list[Quarantined]
    schema: list[str]
    schema_digest: str
    digest: str


class BadRecordError(Exception):
    """One record cannot be landed; the message is the reason."""


def quarantine(record: Any, reason: str) -> Quarantined:
    """Keep a redacted sample of a record that is refused, at most some 2,000 characters long."""
    sample = redact_tree(record, max_depth=6)
    text = orjson.dumps(sample, option=orjson.OPT_NON_STR_KEYS).decode()
    if isinstance(sample, dict) and len(text) <= _LONGEST_SAMPLE:
        return Quarantined(sample, reason)
    return Quarantined({"sample": text[:_LONGEST_SAMPLE]}, reason)


def nests_deeper(value: Any, levels: int) -> bool:
    """Whether JSON data nests deeper than ``levels``, found without recursion."""
    layer = [value]
    for _ in range(levels + 1):
        below: list[Any] = []
        for entry in layer:
            if isinstance(entry, dict):
                below.extend(entry.values())
            elif isinstance(entry, list):
                below.extend(entry)
        if not below:
            return False
        layer = below
    return True
