"""All landed labels of a pool as one versioned training set, split so that no near duplicate leaks.

Three forms of one content, in a folder named by that content:

- ``labels.parquet``: a plain table, one row an image;
- ``annotations/labels_train.json`` and ``labels_val.json``: COCO with image-level annotations, that is,
without boxes
  (Datumaro's ``coco_labels`` convention: https://openvinotoolkit.github.io/datumaro/): a box that nobody drew
  would be an untruth;
- ``train.txt``, ``val.txt``, ``classes.txt``: lists in the manner of YOLO, each line ``CLASS_INDEX FILE``.
"""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

LAYOUT = 1
SPLITS = ("train", "val")


@dataclass(frozen=True)
class TrainingRow:
    """One labelled image.

    Attributes:
        digest: SHA-256 of the file's content, in hex.
        file: path of the image in its source.
        label: its class.
        width: as shown, in pixels, if known.
        height: as shown, in pixels, if known.
        round: key of the round that bought the label.
        group: what must stay on one side of the split, such as the near-duplicate group; empty for the image
            alone.
    """

    digest: str
    file: str
    label: str
    width: int | None
    height: int | None
    round: str
    group: str


@dataclass(frozen=True)
class TrainingSet:
    """A written version.

    Attributes:
        version: derived from the content alone.
        folder: where its files are.
        images: how many there are after deduplication.
        train: how many of them are for training.
        validation: how many of them are for validation.
        classes: labels, sorted; the position is the class index.
        rounds: keys of the rounds that it was made from.
    """

    version: str
    folder: Path
    images: int
    train: int
    validation: int
    classes: list[str]
    rounds: list[str]


def split_of(group: str, validation_share: float) -> str:
    """Put a group on one side by its hash: stable as rounds are added, and the same on every machine."""
    position = int.from_bytes(hashlib.sha256(group.encode()).digest()[:8]) / 2**64
    return "val" if position < validation_share else "train"


def build_training_set(rows: Iterable[TrainingRow], out_dir: Path, *, validation_share: float = 0.2) -> TrainingSet:
    """Write a version of the training set, and point ``current.json`` to it last.

    The same rows in any order give the same version, which is then not written again. An image that occurs
    several times is kept once, with the label of its latest round.

    Args:
        rows: all labelled images.
        out_dir: folder of all versions.
        validation_share: share of *groups* for validation, 0 to 1.

    Raises:
        ValueError: if ``validation_share`` is outside 0 to 1.
    """
    if not 0 <= validation_share <= 1:
        raise ValueError(f"validation_share must lie between 0 and 1, not at {validation_share}")
    kept = _deduplicate(rows)
    classes = sorted({row.label for row in kept})
    table = [
        asdict(row)
        | {
            "class_index": classes.index(row.label),
            "split": split_of(row.group or row.digest, validation_share),
        }
        for row in kept
    ]
    version = _version(table, validation_share)
    counts = Counter(row["split"] for row in table)
    result = TrainingSet(
        version=version,
        folder=out_dir / version,
        images=len(table),
        train=counts["train"],
        validation=counts["val"],
        classes=classes,
        rounds=sorted({row.round for row in kept}),
    )
    out_dir.mkdir(parents=True, exist_ok=True)
    if not result.folder.exists():
        _write_version(result, table, validation_share)
    _replace_text(out_dir / "current.json", _as_json(_summary(result)))
    return result


def _deduplicate(rows: Iterable[TrainingRow]) -> list[TrainingRow]:
    latest: dict[str, TrainingRow] = {}
    for row in sorted(rows, key=lambda row: (row.round, row.file, row.label)):
        latest[row.digest] = row
    return [latest[digest] for digest in sorted(latest)]


def _version(table: Sequence[dict[str, Any]], validation_share: float) -> str:
    content = json.dumps([LAYOUT, validation_share, table], sort_keys=True, ensure_ascii=True)
    return f"v{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _summary(result: TrainingSet) -> dict[str, Any]:
    return asdict(result) | {"folder": result.folder.name}


def _write_version(result: TrainingSet, table: list[dict[str, Any]], validation_share: float) -> None:
    """Write all files beside their place, then move the folder there in one step."""
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=result.folder.parent))
    try:
        _write_parquet(table, draft / "labels.parquet")
        (draft / "annotations").mkdir()
        for split in SPLITS:
            part = [row for row in table if row["split"] == split]
            _replace_text(draft / "annotations" / f"labels_{split}.json", _as_json(_coco(part, result.classes)))
            lines = [f"{row['class_index']} {_one_line(row['file'])}" for row in part]
            _replace_text(draft / f"{split}.txt", "".join(f"{line}\n" for line in lines))
        names = "".join(f"{_one_line(name)}\n" for name in result.classes)
        _replace_text(draft / "classes.txt", names)
        per_class = Counter((row["label"], row["split"]) for row in table)
        manifest = _summary(result) | {
            "layout": LAYOUT,
            "validation_share": validation_share,
            "per_class": {name: {split: per_class[name, split] for split in SPLITS} for name in result.classes},
        }
        _replace_text(draft / "manifest.json", _as_json(manifest))
        draft.chmod(0o755)
        try:
            draft.rename(result.folder)
        except OSError:
            # Another process has put the same content there meanwhile.
            if not (result.folder / "manifest.json").exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _write_parquet(table: list[dict[str, Any]], path: Path) -> None:
    import polars as pl

    text, number = pl.String, pl.Int64
    schema = {
        "digest": text, "file": text, "label": text, "width": number, "height": number, "round": text,
        "group": text, "class_index": number, "split": text,
    }  # fmt: skip
    pl.DataFrame(table, schema=schema).write_parquet(path)


def _coco(part: list[dict[str, Any]], classes: list[str]) -> dict[str, Any]:
    images = [
        {"id": number, "file_name": row["file"], "width": row["width"], "height": row["height"]}
        for number, row in enumerate(part, start=1)
    ]
    annotations = [
        {"id": number, "image_id": number, "category_id": row["class_index"] + 1}
        for number, row in enumerate(part, start=1)
    ]
    categories = [{"id": number, "name": name} for number, name in enumerate(classes, start=1)]
    return {"images": images, "categories": categories, "annotations": annotations}


def _one_line(text: str) -> str:
    """A line break in a name would make two entries of one."""
    return text.replace("\r", "\\r").replace("\n", "\\n")


def _as_json(value: Any) -> str:
    return f"{json.dumps(value, ensure_ascii=False, indent=1, sort_keys=True)}\n"


def _replace_text(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
