"""What every layout asks of names, sizes and numbers, and how a record is put together."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.frame import Frame, Size
from alaas_pipeline.labels.records import BadRecordError, LabelRecord, Outcome
from alaas_pipeline.labels.strict_json import fault_of

_MAX_KEY = 1_024
_MAX_LABEL = 256
# No picture is that large; beyond it sums of numbers lose their meaning.
_MAX_PIXELS = 1e9


def usable_key(value: Any) -> str:
    """Check the name by which a record is joined to its image.

    Raises:
        BadRecordError: if it is no name, or leads out of its folder.
    """
    if not isinstance(value, str) or not value or len(value) > _MAX_KEY or _has_control(value):
        raise BadRecordError("it has no usable key")
    if value.startswith("/") or "\\" in value or ".." in value.split("/"):
        raise BadRecordError(f"its key {value[:40]!r} is an unsafe path")
    return value


def key_or_none(value: Any) -> str | None:
    """Return the name if it is usable."""
    try:
        return usable_key(value)
    except BadRecordError:
        return None


def usable_label(value: Any, known: frozenset[str] | None = None) -> str:
    """Check the name of a class, against the known ones if there are any.

    Raises:
        BadRecordError: if it is no name, or not known.
    """
    if not isinstance(value, str) or not value.strip() or len(value) > _MAX_LABEL or _has_control(value):
        raise BadRecordError(f"an annotation's label {str(value)[:40]!r} is no name")
    if known is not None and value not in known:
        raise BadRecordError(f"an annotation's label {value[:40]!r} is not in the file's own label schema")
    return value


def declared_size(width: Any, height: Any) -> Size | None:
    """Check the size that a record declares, in pixels; None if it declares none.

    Raises:
        BadRecordError: if a side is no positive whole number, or stands alone.
    """
    for name, value in (("width", width), ("height", height)):
        if value is not None and (
            not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= _MAX_PIXELS
        ):
            raise BadRecordError(f"its {name} {str(value)[:40]!r} is no positive whole number of pixels")
    if (width is None) != (height is None):
        raise BadRecordError("it tells only one of width and height")
    return None if width is None else (width, height)


def number(value: Any, name: str) -> float:
    """Check a coordinate or a length in pixels.

    Raises:
        BadRecordError: if it is no number, or larger than any image.
    """
    if not isinstance(value, int | float) or isinstance(value, bool) or not abs(value) <= _MAX_PIXELS:
        raise BadRecordError(f"an annotation's {name} is no number of pixels")
    return float(value)


def length(value: Any, name: str) -> float:
    """Check a width or height in pixels.

    Raises:
        BadRecordError: if it is no number above zero.
    """
    if (told := number(value, name)) <= 0:
        raise BadRecordError(f"an annotation's {name} {told:g} is not above zero")
    return told


def repeated(values: Iterable[Any]) -> frozenset[str | int]:
    """Return the ids that stand more than once."""
    counts = Counter(value for value in values if isinstance(value, str | int))
    return frozenset(value for value, times in counts.items() if times > 1)


def refuse_copies(key: str, keys: Counter[str]) -> None:
    """Refuse every copy of a record, for which one is right is open.

    Raises:
        BadRecordError: if the key stands in the file several times.
    """
    if keys[key] > 1:
        raise BadRecordError(f"its key stands in the file {keys[key]} times: which one is right is open")


def assemble(
    key: str, outcome: Outcome, found: Sequence[tuple[Annotation, Any]], frame: Frame, reason: str | None = None
) -> LabelRecord:
    """Place the annotations in the image as shown and make the record.

    Args:
        key: the record's name.
        outcome: how the image ended.
        found: annotations, each with the export's own words.
        frame: the pixels that they count in.
        reason: why the image was refused, if it was.

    Raises:
        BadRecordError: if one annotation cannot be placed.
    """
    placed = [(frame.place(annotation), raw) for annotation, raw in found]
    labels = list(dict.fromkeys(annotation.label for annotation, _ in placed)) if outcome == "labelled" else []
    width, height = frame.size or (None, None)
    return LabelRecord(
        key, outcome, labels, [annotation.to_json(raw) for annotation, raw in placed], reason, width, height
    )


def _has_control(text: str) -> bool:
    return any(ord(character) < 32 or ord(character) == 127 for character in text)


def key_of(item: Any, keys: Counter[str]) -> str:
    """Return the key of an item that is sound and the only one of its key.

    Raises:
        BadRecordError: it is not.
    """
    if not isinstance(item, dict):
        raise BadRecordError("it is no object")
    if fault := fault_of(item):
        raise BadRecordError(fault)
    key = usable_key(item.get("key"))
    refuse_copies(key, keys)
    return key
