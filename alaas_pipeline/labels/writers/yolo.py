"""YOLO for detection: a text file an image under ``labels/``, ``data.yaml`` and ``classes.txt``.

A polygon is written as the box around it. What has no box cannot be said in this form and is counted.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import yaml

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.writers.images import AnnotatedImage, class_numbers, in_order


@dataclass(frozen=True)
class YoloWritten:
    """What stands in the folder: images and boxes, and how many annotations had no box and were left out."""

    images: int
    boxes: int
    left_out: int


def refusals(images: Iterable[AnnotatedImage]) -> dict[str, str]:
    """Return image id -> why this form cannot hold the image, for those that `write_yolo` would refuse."""
    refused: dict[str, str] = {}
    owners: dict[str, str] = {}
    for image in sorted(images, key=lambda image: image.image_id):
        try:
            place = _place(image.image_id)
            _check_size(image)
        except UserError as error:
            refused[image.image_id] = str(error)
            continue
        # Some file systems know no difference between small and capital letters.
        if (other := owners.setdefault(str(place).casefold(), image.image_id)) != image.image_id:
            refused[image.image_id] = (
                f"The images {other} and {image.image_id} would share one label file. Rename one of them."
            )
    return refused


def write_yolo(
    images: Iterable[AnnotatedImage],
    folder: Path,
    classes: Sequence[str] | None = None,
    lists: Mapping[str, Sequence[str]] | None = None,
) -> YoloWritten:
    """Write the label files; an image without boxes has an empty one.

    Args:
        images: in any order.
        folder: where to, empty or not there yet.
        classes: the classes in order, the same for all parts of a split; None for the labels that occur.
        lists: split -> ids of its images, each written as a list of paths below ``images/`` that ``data.yaml`` names.

    Raises:
        UserError: if an image with boxes has no size, its id leads out of the folder, two images would share a label
            file, an image is given twice, or a label is not among the classes.
    """
    ordered = in_order(images)
    numbers = class_numbers(ordered, classes)
    if refused := refusals(ordered):
        raise UserError(next(iter(refused.values())))
    for image in ordered:
        place = folder / _place(image.image_id)
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_text("".join(f"{line}\n" for line in _lines(image, numbers)), encoding="utf-8")
    folder.mkdir(parents=True, exist_ok=True)
    names = list(numbers)
    described: dict[str, object] = {"names": names, "nc": len(names)}
    for split, listed in (lists or {}).items():
        lines = "".join(f"./images/{one_line(image_id)}\n" for image_id in listed)
        (folder / f"{split}.txt").write_text(lines, encoding="utf-8")
        described[split] = f"{split}.txt"
    (folder / "data.yaml").write_text(yaml.safe_dump(described, allow_unicode=True), encoding="utf-8")
    (folder / "classes.txt").write_text("".join(f"{one_line(name)}\n" for name in names), encoding="utf-8")
    boxes = [annotation.box is not None for image in ordered for annotation in image.annotations]
    return YoloWritten(images=len(ordered), boxes=sum(boxes), left_out=len(boxes) - sum(boxes))


def _place(image_id: str) -> PurePosixPath:
    path = PurePosixPath(image_id)
    if path.is_absolute() or not path.name or ".." in path.parts or "\\" in image_id or ":" in image_id:
        raise UserError(f"The image id {image_id!r} cannot be the name of a label file. Rename the image.")
    return PurePosixPath("labels", path.parent, f"{path.stem}.txt")


def _check_size(image: AnnotatedImage) -> None:
    if any(one.box is not None for one in image.annotations) and not (image.width and image.height):
        raise UserError(
            f"The image {image.image_id} has boxes and no known size, of which they are shares. Scan it again."
        )


def _lines(image: AnnotatedImage, numbers: dict[str, int]) -> list[str]:
    boxes = [(numbers[one.label], one.box) for one in image.annotations if one.box is not None]
    if not boxes or not image.width or not image.height:
        return []
    return [
        f"{number} {(x + width / 2) / image.width:.9f} {(y + height / 2) / image.height:.9f} "
        f"{width / image.width:.9f} {height / image.height:.9f}"
        for number, (x, y, width, height) in boxes
    ]


def one_line(text: str) -> str:
    """Write line breaks in a name as words: each would make two entries of one."""
    return text.replace("\r", "\\r").replace("\n", "\\n")
