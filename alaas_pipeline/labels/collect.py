"""All landed labels of a pool, from the ledger into the training set."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.training.rows import Lineage, Origin, TrainingRow, TrainingSet
from alaas_pipeline.labels.training_set import build_training_set
from alaas_pipeline.ledger import Ledger, annotations, facts, imports, landing, rounds
from alaas_pipeline.ledger.annotations import ServingLanding
from alaas_pipeline.store import Store


@dataclass(frozen=True)
class Learned:
    """What a pool's landed rounds have taught so far, round by round; what was imported is not counted.

    Attributes:
        rounds: keys of landed rounds, oldest first.
        labelled: images labelled up to and with each round.
        classes: classes found up to and with each round.
        counts: images per class over all rounds; an image counts for each class that is on it.
    """

    rounds: list[str]
    labelled: list[int]
    classes: list[int]
    counts: dict[str, int]


def learned(ledger: Ledger, pool: str, until: str | None = None) -> Learned:
    """Sum up landed rounds, up to and with `until` when it is given."""
    keys, labelled, classes, images = [], [], [], 0
    counts: Counter[str] = Counter()
    with ledger.transaction() as tx:
        for current in rounds.of_pool(tx, pool):
            if current.state != "landed":
                continue
            for row in landing.current(tx, current.key):
                if row["outcome"] == "labelled":
                    counts.update(set(row["labels"]))
                    images += 1
            keys.append(current.key)
            labelled.append(images)
            classes.append(len(counts))
            if current.key == until:
                break
    return Learned(keys, labelled, classes, dict(sorted(counts.items())))


def training_set_folder(pool: str) -> str:
    """Return the folder of all versions of a pool's training set, in the store."""
    return f"pools/{pool}/training_set"


def write_training_set(ledger: Ledger, store: Store, pool: str) -> TrainingSet:
    """Write the current version of the pool's training set, from all landed rounds and imports.

    It stands below `training_set_folder`; where that is not on this machine, the `folder` of the result is gone when this returns.
    """
    with ledger.transaction() as tx:
        keys = [one.key for one in rounds.of_pool(tx, pool) if one.state == "landed"]
        brought = [one.key for one in imports.of_pool(tx, pool)]
        landings = {key: landing for key in keys + brought if (landing := annotations.serving(tx, key))}
        landed = {key: annotations.landed_annotations(tx, key) for key in landings}
        tests = annotations.in_test_sets(tx, pool)
        known = facts.of_pool(tx, pool)
        encoder_id = annotations.near_duplicates_encoder(tx, pool)
    groups = {digest: tuple(sorted({one.group for one in said if one.group})) for digest, said in known.items()}
    in_tests = {row["digest"] for row in tests}
    by_age = sorted(landings.values(), key=lambda one: (one.first_landed_at, one.key))
    rows = [
        _row(row, one.key, age, groups.get(row["digest"], ()), row["digest"] in in_tests)
        for age, one in enumerate(by_age)
        for row in landed[one.key]
        if row["outcome"] == "labelled"
    ]
    labelled = {row.digest for row in rows}
    rows += [
        TrainingRow(
            row["digest"], row["image_id"], (), None, None, "", row["near_group"], groups.get(row["digest"], ()), len(by_age),
            test=True, unusable="it is in a test set and not labelled",
        )
        for row in tests
        if row["digest"] not in labelled
    ]  # fmt: skip
    lineage = Lineage(_origins(landings, keys), _origins(landings, brought), encoder_id)
    with store.making(training_set_folder(pool)) as folder:
        return build_training_set(rows, folder, lineage=lineage)


def _row(row: Mapping[str, Any], key: str, age: int, groups: tuple[str, ...], test: bool) -> TrainingRow:
    said: tuple[Annotation, ...] = ()
    unusable = "" if row["file"] else "its file was replaced by another"
    try:
        said = tuple(Annotation.from_json(one) for one in row["annotations"])
    except ValueError:
        unusable = "its annotations as they landed cannot be read; land its labels again"
    return TrainingRow(
        row["digest"], row["file"] or row["image_id"], said, row["width"], row["height"], key, row["near_group"], groups, age, test, unusable
    )  # fmt: skip


def _origins(landings: Mapping[str, ServingLanding], keys: Sequence[str]) -> tuple[Origin, ...]:
    found = (landings[key] for key in sorted(keys) if key in landings)
    return tuple(Origin(one.key, one.version, one.export_digest, one.schema_digest) for one in found)
