"""How one version of a round's labels differs from another, image by image."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from alaas_pipeline.ledger.landing import Outcome

# What happened to an image, in words for people. The first three are told as growth, the others wait for a person.
ADDED, SETTLED, REOPENED = "added", "refused now", "pending now"
LOST, RELABELLED, REDRAWN = "lost", "other labels", "other annotations"
_GROWTH = (ADDED, SETTLED, REOPENED)
_TOLD = 5


@dataclass(frozen=True)
class Change:
    """What happened to one image; `before` and `after` are its labels, or its outcome when it has none."""

    image: str
    what: str
    before: str
    after: str


@dataclass(frozen=True)
class Diff:
    """All changes, by image, and images per class in both versions."""

    changes: list[Change]
    classes_before: dict[str, int]
    classes_after: dict[str, int]

    @property
    def only_grows(self) -> bool:
        """Whether nothing that was labelled is lost or changed."""
        return all(change.what in _GROWTH for change in self.changes)

    @property
    def counts(self) -> dict[str, int]:
        """How many images each kind of change is about."""
        return dict(Counter(change.what for change in self.changes))

    def to_json(self) -> dict[str, Any]:
        """Return JSON data: the counts, each change, and images per class before and after."""
        return {**asdict(self), "counts": self.counts}

    def __str__(self) -> str:
        """Tell how many images changed and how, with the first five by name, those that were lost or changed before others."""
        counts = ", ".join(f"{count} {what}" for what, count in self.counts.items())
        grave = sorted(self.changes, key=lambda change: change.what in _GROWTH)
        first = ", ".join(f"{one.image} ({one.before} → {one.after})" for one in grave[:_TOLD])
        return f"{counts}; first: {first}" if self.changes else "nothing changed"


def compare(before: Iterable[Outcome], after: Iterable[Outcome], names: Mapping[str, str]) -> Diff:
    """Compare two versions.

    Ids of annotations and the export's own words beside them do not count, nor does the order of annotations.

    Args:
        before: the version that serves.
        after: the other one.
        names: digest -> the name of the image towards people.
    """
    old, new = {one.digest: one for one in before}, {one.digest: one for one in after}
    changes = [
        Change(names.get(digest, digest), what, _told(old.get(digest)), _told(new.get(digest)))
        for digest in old.keys() | new.keys()
        if (what := _what(old.get(digest), new.get(digest)))
    ]
    changes.sort(key=lambda change: (change.what, change.image))
    return Diff(changes, _classes(old.values()), _classes(new.values()))


def _what(old: Outcome | None, new: Outcome | None) -> str | None:
    was, is_now = (one.outcome if one else "absent" for one in (old, new))
    if was != is_now:
        if was == "labelled" or is_now == "absent":
            return LOST
        return ADDED if is_now == "labelled" else SETTLED if is_now == "refused" else REOPENED
    assert old is not None
    assert new is not None
    if sorted(old.labels) != sorted(new.labels):
        return RELABELLED
    return REDRAWN if _drawn(old) != _drawn(new) else None


def _drawn(one: Outcome) -> list[str]:
    said = ({name: value for name, value in each.items() if name not in ("id", "raw")} for each in one.annotations)
    return sorted(json.dumps(each, sort_keys=True) for each in said)


def _told(one: Outcome | None) -> str:
    return "absent" if one is None else ", ".join(one.labels) or one.outcome


def _classes(every: Iterable[Outcome]) -> dict[str, int]:
    return dict(sorted(Counter(label for one in every for label in one.labels).items()))
