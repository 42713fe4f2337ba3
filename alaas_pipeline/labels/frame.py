"""In which pixels an export counts, and how its annotations are carried to the image as shown.

A photo may be stored on its side and turned by its EXIF orientation when it is shown. An export that counts in the
stored pixels puts every box in a wrong place, and only its declared size betrays it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

from alaas_pipeline.labels.annotation import Annotation, Box
from alaas_pipeline.labels.geometry import area, bounds, clip_box, clip_polygon, corners, turn
from alaas_pipeline.labels.records import BadRecordError

Size = tuple[int, int]
# Nearer than this many pixels is rounding, not a fault.
_ROUNDING = 0.5


@dataclass(frozen=True)
class ImageSize:
    """What is known about an image that was sent: width and height in pixels as stored and as shown.

    Attributes:
        stored: as in the file.
        shown: once the EXIF orientation is applied.
        orientation: the EXIF orientation, 1 to 8, if known.
    """

    stored: Size
    shown: Size
    orientation: int | None = None


Sizes = Mapping[str, ImageSize]


@dataclass(frozen=True)
class Frame:
    """The pixels that one record counts in.

    Attributes:
        size: width and height in pixels as shown; None if nobody told.
        stored: width and height as stored, if the record counts in these and must be turned.
        orientation: EXIF orientation to turn by.
        fault: why no geometry of this record can be placed.
    """

    size: Size | None
    stored: Size | None = None
    orientation: int = 1
    fault: str | None = None

    def place(self, annotation: Annotation) -> Annotation:
        """Carry an annotation to the image as shown, clipped to it; a note in it says what was changed.

        Raises:
            BadRecordError: if it has no area, lies wholly outside, or cannot be turned.
        """
        if annotation.box is None:
            return annotation
        if self.fault is not None:
            raise BadRecordError(self.fault)
        if self.stored is not None:
            annotation = _turned(annotation, self.stored, self.orientation)
        width, height = self.size or (math.inf, math.inf)
        if annotation.polygon is not None:
            if area(annotation.polygon) <= 0:
                raise BadRecordError("an annotation's polygon has no area")
            polygon = clip_polygon(annotation.polygon, width, height)
            box = None if polygon is None else bounds(polygon)
            before = bounds(annotation.polygon)
        else:
            polygon, before = None, annotation.box or (0.0, 0.0, 0.0, 0.0)
            box = clip_box(before, width, height)
        if box is None:
            raise BadRecordError(f"an annotation lies wholly outside its image ({_told(before)})")
        notes = annotation.notes
        if max(abs(one - other) for one, other in zip(_edges(before), _edges(box), strict=True)) > _ROUNDING:
            notes = (*notes, f"clipped to the image, was {_told(before)}")
        return replace(annotation, box=box, polygon=polygon, notes=notes)


def frame_of(key: str, told: Size | None, sizes: Sizes | None) -> Frame:
    """Find out which pixels a record counts in.

    Args:
        key: the record's key; its last part, the file name, will do.
        told: the size in pixels that the record declares.
        sizes: what is known about the images that were sent.

    Raises:
        BadRecordError: if the declared size is not that of the image at all.
    """
    known = (sizes or {}).get(key) or (sizes or {}).get(key.rsplit("/", 1)[-1])
    if known is None:
        return Frame(told)
    if told == known.shown or (told is None and known.stored == known.shown):
        return Frame(known.shown)
    if told is None:
        return Frame(
            known.shown, fault="it declares no size, and its image is turned by EXIF: its pixels may be either"
        )
    if told != known.stored:
        stored, shown = ("{} x {}".format(*one) for one in (known.stored, known.shown))
        raise BadRecordError(
            f"its declared size {told[0]} x {told[1]} is neither the stored {stored} nor the shown {shown} of its image"
        )
    if known.orientation in (5, 6, 7, 8) and known.shown == known.stored[::-1]:
        return Frame(known.shown, known.stored, known.orientation)
    return Frame(
        known.shown, fault="its boxes count in the stored image, which is turned by EXIF in a way that is not known"
    )


def _turned(annotation: Annotation, stored: Size, orientation: int) -> Annotation:
    assert annotation.box is not None
    return replace(
        annotation,
        box=bounds(turn(corners(annotation.box), stored, orientation)),
        polygon=None if annotation.polygon is None else turn(annotation.polygon, stored, orientation),
        notes=(*annotation.notes, f"turned by EXIF orientation {orientation}"),
    )


def _edges(box: Box) -> Box:
    return box[0], box[1], box[0] + box[2], box[1] + box[3]


def _told(box: Box) -> str:
    return "x {:.10g}, y {:.10g}, {:.10g} wide, {:.10g} high".format(*box)
