"""Annotations as a plain table, one row an annotation."""

import json
from collections.abc import Iterable
from pathlib import Path

from alaas_pipeline.labels.writers.images import AnnotatedImage, in_order


def write_parquet(images: Iterable[AnnotatedImage], path: Path) -> None:
    """Write the table, ordered by image; an image without annotations has no row.

    Columns: ``image_id``, ``digest``, ``image_width`` and ``image_height`` in pixels as shown, ``annotation_id``,
    ``label``, ``kind``, ``x``, ``y``, ``width``, ``height`` in the same pixels, ``polygon`` as a list of pairs,
    ``attributes`` as JSON, ``notes``.

    Raises:
        UserError: if an image is given twice.
    """
    import polars as pl

    rows = []
    for image in in_order(images):
        for one in image.annotations:
            x, y, width, height = one.box or (None, None, None, None)
            rows.append(
                {
                    "image_id": image.image_id,
                    "digest": image.digest,
                    "image_width": image.width,
                    "image_height": image.height,
                    "annotation_id": one.id,
                    "label": one.label,
                    "kind": one.kind,
                    "x": x,
                    "y": y,
                    "width": width,
                    "height": height,
                    "polygon": None if one.polygon is None else [list(corner) for corner in one.polygon],
                    "attributes": json.dumps(one.attributes, ensure_ascii=False, sort_keys=True),
                    "notes": list(one.notes),
                }
            )
    text, whole, pixels = pl.String, pl.Int64, pl.Float64
    schema = {
        "image_id": text, "digest": text, "image_width": whole, "image_height": whole, "annotation_id": text, "label": text, "kind": text,
        "x": pixels, "y": pixels, "width": pixels, "height": pixels, "polygon": pl.List(pl.List(pixels)), "attributes": text,
        "notes": pl.List(text),
    }  # fmt: skip
    pl.DataFrame(rows, schema=schema).write_parquet(path)
