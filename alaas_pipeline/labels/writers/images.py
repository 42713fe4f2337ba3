"""What all writers take: images with their annotations, in one stable order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.annotation import Annotation


@dataclass(frozen=True)
class AnnotatedImage:
    """One image and what was said about it.

    Attributes:
        image_id: path of the image in its source.
        digest: SHA-256 of the file's content, in hex.
        width: as shown, in pixels, if known.
        height: as shown, in pixels, if known.
        annotations: in pixels of the image as shown; none for an image on which nothing was found.
    """

    image_id: str
    digest: str
    width: int | None
    height: int | None
    annotations: tuple[Annotation, ...] = ()


def in_order(images: Iterable[AnnotatedImage]) -> list[AnnotatedImage]:
    """Sort images by id, so that the same images give the same file.

    Raises:
        UserError: if two images share an id, which would make one of them in the file.
    """
    ordered = sorted(images, key=lambda image: image.image_id)
    for before, after in pairwise(ordered):
        if before.image_id == after.image_id:
            raise UserError(
                f"The image {after.image_id} is given twice. Give each image once, with all its annotations."
            )
    return ordered


def class_numbers(images: Sequence[AnnotatedImage], classes: Sequence[str] | None) -> dict[str, int]:
    """Return the place of each class, from 0: of the given classes, else of all labels in alphabetical order.

    Raises:
        UserError: if an annotation's label is not one of the given classes, or a class is given twice.
    """
    seen = sorted({annotation.label for image in images for annotation in image.annotations})
    numbers = {name: place for place, name in enumerate(seen if classes is None else classes)}
    if classes is not None and len(numbers) != len(classes):
        raise UserError("A class is given twice. Give each class once.")
    if missing := [name for name in seen if name not in numbers]:
        raise UserError(f"The label '{missing[0]}' is not among the classes. Add it to them.")
    return numbers
