"""One annotation in one shape, whatever the file it came from."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from alaas_pipeline.avala.redact import redact_tree

Kind = Literal["classification", "bounding_box", "polygon", "other"]
Box = tuple[float, float, float, float]
Polygon = tuple[tuple[float, float], ...]

_KINDS: dict[str, Kind] = {kind: kind for kind in ("classification", "bounding_box", "polygon", "other")}
_LONGEST_RAW = 2_000


@dataclass(frozen=True)
class Annotation:
    """What was said about an image, or about a part of it.

    Attributes:
        label: name of the class.
        kind: ``other`` is a geometry that is not read; it stands in the export's own words only.
        box: x, y, width and height in pixels of the image as shown, origin at the top left; a polygon has one too.
        polygon: at least three corners in the same pixels.
        attributes: further answers of the annotator, by name.
        id: the platform's own, if it gave one.
        notes: what was changed in reading, such as a box clipped to its image.

    Raises:
        ValueError: if kind and geometry do not go together.
    """

    label: str
    kind: Kind
    box: Box | None = None
    polygon: Polygon | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Hold kind and geometry together."""
        has_box, has_polygon = self.box is not None, self.polygon is not None
        if has_box != (self.kind in ("bounding_box", "polygon")) or has_polygon != (self.kind == "polygon"):
            raise ValueError(f"An annotation of kind {self.kind} cannot have this geometry.")
        if self.polygon is not None and len(self.polygon) < 3:
            raise ValueError("A polygon needs three corners.")

    def to_json(self, raw: Any = None) -> dict[str, Any]:
        """Return JSON data that `from_json` reads.

        Args:
            raw: the export's own words. They are kept beside under ``raw``, redacted, if they are short; ``raw`` is
                null where they were too long, and stand in the kept export file then.
        """
        told: dict[str, Any] = {
            "label": self.label,
            "kind": self.kind,
            "box": None if self.box is None else list(self.box),
            "polygon": None if self.polygon is None else [list(corner) for corner in self.polygon],
            "attributes": redact_tree(self.attributes),
            "id": self.id,
            "notes": list(self.notes),
        }
        if raw is not None:
            words = redact_tree(raw)
            told["raw"] = words if len(orjson.dumps(words, option=orjson.OPT_NON_STR_KEYS)) <= _LONGEST_RAW else None
        return told

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Annotation":
        """Read what `to_json` returned; ``raw`` is left aside.

        Raises:
            ValueError: if it is no such data.
        """
        try:
            box, polygon = value["box"], value["polygon"]
            return cls(
                label=value["label"],
                kind=_KINDS[value["kind"]],
                box=None if box is None else _box(box),
                polygon=None if polygon is None else tuple((float(x), float(y)) for x, y in polygon),
                attributes=dict(value["attributes"]),
                id=value["id"],
                notes=tuple(value["notes"]),
            )
        except (KeyError, TypeError) as error:
            raise ValueError(f"This is no stored annotation ({type(error).__name__}: {error}).") from None


def _box(sides: Any) -> Box:
    x, y, width, height = (float(side) for side in sides)
    return x, y, width, height
