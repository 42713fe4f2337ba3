"""The files of a version, in the forms that trainers read.

- ``labels.parquet``: a plain table, one row an image, and ``annotations.parquet``, one row an annotation.
- ``annotations/``: COCO for each split. With boxes and polygons the files are called ``instances_{split}.json``; where
  labels are of whole images ``labels_{split}.json``, without boxes, for a box that nobody drew would be an untruth.
- Lists in the manner of YOLO: with boxes the folder ``yolo/``, which is whole once the images stand in or are linked to
  ``yolo/images``; where labels are of whole images ``{split}.txt``, each line ``CLASS_INDEX FILE``.
- ``classes.txt``: the classes, one a line, in the order of their index.
- ``manifest.json``: what the version holds, what it leaves out and why, and which landings it was made from.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.training.rows import SPLITS, TrainingRow, TrainingSet
from alaas_pipeline.labels.writers.coco import write_coco
from alaas_pipeline.labels.writers.images import AnnotatedImage
from alaas_pipeline.labels.writers.parquet import write_parquet
from alaas_pipeline.labels.writers.yolo import one_line, refusals, write_yolo

_NOT_SAID = "it has labels, but no box: an empty file would say that nothing is on it"


def write_files(
    made: TrainingSet, rows: Sequence[TrainingRow], told: Mapping[str, Mapping[str, Any]], folder: Path, layout: int
) -> None:
    """Write all files of a version.

    Args:
        made: the version.
        rows: its images, in order.
        told: digest -> ``split``, ``component`` and ``class_index`` of each of them.
        folder: where to; empty.
        layout: number of this arrangement of files.
    """
    _write_table(rows, told, folder / "labels.parquet")
    write_parquet([_image(row) for row in rows], folder / "annotations.parquet")
    (folder / "annotations").mkdir()
    for split in SPLITS:
        part = [row for row in rows if told[row.digest]["split"] == split]
        if made.boxes:
            write_coco([_image(row) for row in part], folder / "annotations" / f"instances_{split}.json", made.classes)
            continue
        write_coco([_whole(row) for row in part], folder / "annotations" / f"labels_{split}.json", made.classes)
        lines = [f"{told[row.digest]['class_index']} {one_line(row.file)}\n" for row in part]
        (folder / f"{split}.txt").write_text("".join(lines), encoding="utf-8")
    names = "".join(f"{one_line(name)}\n" for name in made.classes)
    (folder / "classes.txt").write_text(names, encoding="utf-8")
    yolo = {"not_in_yolo": _write_yolo(rows, told, folder / "yolo", made.classes)} if made.boxes else {}
    write_json(folder / "manifest.json", manifest(made, layout) | yolo)


def summary(made: TrainingSet) -> dict[str, Any]:
    """Return what names a version and tells its size, as JSON data."""
    names = ("version", "images", "train", "validation", "test", "boxes", "classes")
    return {name: getattr(made, name) for name in names} | {
        "folder": made.folder.name,
        "rounds": [origin.key for origin in made.lineage.rounds],
        "imports": [origin.key for origin in made.lineage.imports],
    }


def manifest(made: TrainingSet, layout: int) -> dict[str, Any]:
    """Return all that is to be known of a version, as JSON data."""
    return summary(made) | asdict(made.lineage) | {
        "layout": layout,
        "validation_share": made.validation_share,
        "per_class": made.per_class,
        "boxes_per_class": made.boxes_per_class,
        "left_out": [asdict(one) for one in made.left_out],
    }  # fmt: skip


def write_json(path: Path, value: Any) -> None:
    """Replace a file by this content, in one step."""
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(f"{json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)}\n", encoding="utf-8")
    draft.replace(path)


def _image(row: TrainingRow) -> AnnotatedImage:
    return AnnotatedImage(row.file, row.digest, row.width, row.height, row.annotations)


def _whole(row: TrainingRow) -> AnnotatedImage:
    """The image with its class said once, however many annotations say it."""
    return AnnotatedImage(row.file, row.digest, row.width, row.height, (Annotation(row.labels[0], "classification"),))


def _write_yolo(
    rows: Sequence[TrainingRow], told: Mapping[str, Mapping[str, Any]], folder: Path, classes: list[str]
) -> list[dict[str, str]]:
    """Write the folder; return the images that this form cannot hold, with reasons."""
    silent = {row.file: _NOT_SAID for row in rows if row.annotations and not row.boxes}
    left_out = silent | refusals(_image(row) for row in rows if row.file not in silent)
    kept = [row for row in rows if row.file not in left_out]
    lists = {split: [row.file for row in kept if told[row.digest]["split"] == split] for split in SPLITS}
    write_yolo((_image(row) for row in kept), folder, classes, lists)
    return [{"file": file, "reason": reason} for file, reason in sorted(left_out.items())]


def _write_table(rows: Sequence[TrainingRow], told: Mapping[str, Mapping[str, Any]], path: Path) -> None:
    import polars as pl

    text, number, texts = pl.String, pl.Int64, pl.List(pl.String)
    schema = {
        "digest": text, "file": text, "label": text, "labels": texts, "boxes": number, "width": number, "height": number, "round": text,
        "groups": texts, "component": text, "class_index": number, "split": text,
    }  # fmt: skip
    table = [
        {
            "digest": row.digest, "file": row.file, "label": row.labels[0] if len(row.labels) == 1 else None, "labels": row.labels,
            "boxes": row.boxes, "width": row.width, "height": row.height, "round": row.round, "groups": list(row.groups),
            **told[row.digest],
        }
        for row in rows
    ]  # fmt: skip
    pl.DataFrame(table, schema=schema).write_parquet(path)
