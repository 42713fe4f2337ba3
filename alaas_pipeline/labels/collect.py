"""All landed labels of a pool, from the ledger into the training set."""

from collections import Counter
from dataclasses import dataclass

from alaas_pipeline.labels.training_set import TrainingRow, TrainingSet, build_training_set
from alaas_pipeline.ledger import Ledger, landing, rounds
from alaas_pipeline.store import Store


@dataclass(frozen=True)
class Learned:
    """What a pool's landed rounds have taught so far, round by round.

    Attributes:
        rounds: keys of landed rounds, oldest first.
        labelled: images labelled up to and with each round.
        classes: classes found up to and with each round.
        counts: images per class over all rounds.
        several: images with more than one label, which a class per image cannot express.
    """

    rounds: list[str]
    labelled: list[int]
    classes: list[int]
    counts: dict[str, int]
    several: list[str]


def learned(ledger: Ledger, pool: str, until: str | None = None) -> Learned:
    """Sum up landed rounds, up to and with `until` when it is given."""
    keys, labelled, classes, several = [], [], [], []
    counts: Counter[str] = Counter()
    with ledger.transaction() as tx:
        for current in rounds.of_pool(tx, pool):
            if current.state != "landed":
                continue
            for row in landing.current(tx, current.key):
                if row["outcome"] == "labelled":
                    counts.update(row["labels"][:1])
                    several += [row["image_id"]] if len(row["labels"]) > 1 else []
            keys.append(current.key)
            labelled.append(counts.total())
            classes.append(len(counts))
            if current.key == until:
                break
    return Learned(keys, labelled, classes, dict(sorted(counts.items())), several)


def write_training_set(ledger: Ledger, store: Store, pool: str) -> TrainingSet:
    """Write the current version of the pool's training set; near duplicates stay on one side of the split."""
    rows = []
    with ledger.transaction() as tx:
        for current in rounds.of_pool(tx, pool):
            if current.state != "landed":
                continue
            for row in landing.current(tx, current.key):
                if row["outcome"] == "labelled" and len(row["labels"]) == 1:
                    rows.append(
                        TrainingRow(
                            row["digest"],
                            row["image_id"],
                            row["labels"][0],
                            row["width"],
                            row["height"],
                            current.key,
                            row["near_group"],
                        )
                    )
    return build_training_set(rows, store.local(f"pools/{pool}/training_set"))
