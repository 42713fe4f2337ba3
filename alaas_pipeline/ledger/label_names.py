"""What the labels of a pool may be called: accepted with its first landing, and from then on by a person."""

import json
from collections.abc import Collection
from dataclasses import dataclass

from alaas_pipeline.ledger.database import Transaction, now

_MOST_NAMES_TOLD = 10


@dataclass(frozen=True)
class NameDiff:
    """How the names of an export differ from the accepted ones.

    Attributes:
        new: names that nobody accepted; they stop.
        gone: accepted names that the export does not declare any more; they are only told.
        alike: new name -> the accepted name that it differs from in case or spaces only.
    """

    new: list[str]
    gone: list[str]
    alike: dict[str, str]

    def __str__(self) -> str:
        """Tell the difference in one line; empty when there is none."""
        parts = []
        if self.new:
            like = {name: f" (accepted is {other!r}: only case or spaces differ)" for name, other in self.alike.items()}
            parts.append("new: " + _listed([f"{name!r}{like.get(name, '')}" for name in self.new]))
        if self.gone:
            parts.append("gone since: " + _listed([repr(name) for name in self.gone]))
        return "; ".join(parts) + (" - renamed?" if self.new and self.gone else "")


def compare(accepted: Collection[str], names: Collection[str], *, declared: bool) -> NameDiff:
    """Compare an export's names with the accepted ones.

    Args:
        accepted: the pool's names; without any, nothing is new.
        names: the names that the export declares or, when it declares none, those in use.
        declared: whether it declares them. Names that are merely not in use are not gone.
    """
    if not accepted:
        return NameDiff([], [], {})
    by_word = {_word(name): name for name in sorted(accepted)}
    new = sorted(set(names) - set(accepted))
    alike = {name: by_word[_word(name)] for name in new if _word(name) in by_word}
    return NameDiff(new, sorted(set(accepted) - set(names)) if declared else [], alike)


def accepted(tx: Transaction, pool: str, classes: Collection[str] = ()) -> set[str]:
    """Return the accepted names of a pool, with the `classes` that its settings declare; empty before its first landing without them."""
    names = set(tx.column("SELECT name FROM label_names WHERE pool = ?", pool))
    if names:
        return names.union(classes)
    # Rounds that landed before names were kept have accepted theirs.
    schemas = tx.column(
        "SELECT label_schema FROM landings WHERE starts_with(round, ? || '.') AND coalesce(state, 'serves') = 'serves'",
        pool,
    )
    return {name for schema in schemas for name in json.loads(schema)}.union(classes)


def accept(tx: Transaction, pool: str, names: Collection[str], key: str, by: str) -> None:
    """Accept names that the landing of the round or import `key` brought; those that are accepted already stay as they are."""
    stored = set(tx.column("SELECT name FROM label_names WHERE pool = ?", pool))
    fresh = sorted({*names, *accepted(tx, pool)} - stored)
    tx.insert(
        "label_names",
        [{"pool": pool, "name": name, "round": key, "accepted_by": by, "accepted_at": now()} for name in fresh],
    )
    if fresh:
        tx.note(f"{key}: {len(fresh)} names of labels accepted ({by})")


def _word(name: str) -> str:
    return "".join(name.casefold().split())


def _listed(told: list[str]) -> str:
    rest = len(told) - _MOST_NAMES_TOLD
    return ", ".join(told[:_MOST_NAMES_TOLD]) + (f" and {rest} more" if rest > 0 else "")
