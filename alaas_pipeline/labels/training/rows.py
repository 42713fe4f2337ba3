"""What goes into a version of the training set, and what comes out of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from alaas_pipeline.labels.annotation import Annotation

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class TrainingRow:
    """One labelled image, or one of a test set, labelled or not.

    Attributes:
        digest: SHA-256 of the file's content, in hex.
        file: path of the image in its source.
        annotations: in pixels of the image as shown.
        width: as shown, in pixels, if known.
        height: as shown, in pixels, if known.
        round: key of the round or the import that brought the label.
        near: digest that stands for the image's near duplicates; its own where it has none.
        groups: the groups that its files belong to, such as drives or patients.
        landed: place of the round or the import in the order in which the pool's labels first landed.
        test: whether the image is one of a test set.
        unusable: why the image cannot be in the set; empty if it can.
    """

    digest: str
    file: str
    annotations: tuple[Annotation, ...]
    width: int | None
    height: int | None
    round: str
    near: str
    groups: tuple[str, ...] = ()
    landed: int = 0
    test: bool = False
    unusable: str = ""

    @property
    def labels(self) -> list[str]:
        """The classes on the image, sorted, each once."""
        return sorted({one.label for one in self.annotations})

    @property
    def boxes(self) -> int:
        """How many annotations have a box; those with a polygon have one too."""
        return sum(one.box is not None for one in self.annotations)


@dataclass(frozen=True)
class LeftOut:
    """An image that is in no split, and why."""

    file: str
    digest: str
    reason: str


@dataclass(frozen=True)
class Origin:
    """A landed export that the set was made from: of a round or an import, its version, and the digests of file and label schema."""

    key: str
    landing: int
    export_digest: str
    schema_digest: str


@dataclass(frozen=True)
class Lineage:
    """Where the rows come from.

    Attributes:
        rounds: landings of rounds, in order of key.
        imports: landings of imports, in order of key.
        encoder_id: the encoder whose vectors told near duplicates; None where nobody looked for any.
    """

    rounds: tuple[Origin, ...] = ()
    imports: tuple[Origin, ...] = ()
    encoder_id: str | None = None


@dataclass(frozen=True)
class TrainingSet:
    """A written version.

    Attributes:
        version: derived from the content alone.
        folder: where its files are.
        validation_share: share of components that were to be for validation.
        images: how many there are after deduplication, all splits together.
        train: how many of them are for training.
        validation: how many of them are for validation.
        test: how many of them are of a test set.
        boxes: how many boxes there are; 0 where labels are of whole images.
        classes: labels, sorted; the position is the class index.
        per_class: class -> split -> images it is on.
        boxes_per_class: class -> split -> boxes.
        left_out: images in no split, with reasons, in order of file.
        lineage: what the version was made from.
    """

    version: str
    folder: Path
    validation_share: float
    images: int
    train: int
    validation: int
    test: int
    boxes: int
    classes: list[str]
    per_class: Mapping[str, Mapping[str, int]]
    boxes_per_class: Mapping[str, Mapping[str, int]]
    left_out: list[LeftOut]
    lineage: Lineage
