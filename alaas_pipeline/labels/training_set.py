"""All landed labels of a pool as one versioned training set, split so that nothing leaks.

A version is a folder named by its content; `labels.training.files` says what is in it.
"""

import hashlib
import json
import shutil
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from alaas_pipeline.labels.training.files import summary, write_files, write_json
from alaas_pipeline.labels.training.rows import SPLITS, LeftOut, Lineage, TrainingRow, TrainingSet
from alaas_pipeline.labels.training.split import components, split_of, without_neighbours_of_tests

LAYOUT = 2


def build_training_set(
    rows: Iterable[TrainingRow],
    out_dir: Path,
    *,
    lineage: Lineage | None = None,
    validation_share: float = 0.2,
) -> TrainingSet:
    """Write a version of the training set, and point ``current.json`` to it last.

    The same rows in any order give the same version, which is then not written again. An image that occurs several
    times is kept once, with the label that landed last. Where no annotation has a box, labels are of whole images, and
    an image without a class or with several is left out.

    Args:
        rows: all labelled images, and all images of test sets.
        out_dir: folder of all versions.
        lineage: what the rows come from; part of the content.
        validation_share: share of *components* for validation, 0 to 1.

    Raises:
        ValueError: if ``validation_share`` is outside 0 to 1.
    """
    if not 0 <= validation_share <= 1:
        raise ValueError(f"validation_share must lie between 0 and 1, not at {validation_share}")
    lineage = lineage or Lineage()
    distinct = _deduplicate(rows)
    component = components(distinct)
    kept, left_out = without_neighbours_of_tests(distinct, component)
    kept, unusable = _usable(kept)
    classes = sorted({label for row in kept for label in row.labels})
    index = {label: place for place, label in enumerate(classes)}
    told = {
        row.digest: {
            "split": "test" if row.test else split_of(component[row.digest], validation_share),
            "component": component[row.digest],
            "class_index": index[row.labels[0]] if len(row.labels) == 1 else None,
        }
        for row in kept
    }
    left_out = sorted(left_out + unusable, key=lambda one: (one.file, one.digest))
    version = _version(kept, told, left_out, lineage, validation_share)
    sides = Counter(entry["split"] for entry in told.values())
    result = TrainingSet(
        version=version, folder=out_dir / version, validation_share=validation_share, images=len(kept), train=sides["train"], validation=sides["val"], test=sides["test"],
        boxes=sum(row.boxes for row in kept), classes=classes, left_out=left_out, lineage=lineage,
        per_class=_per_class(classes, [(label, told[row.digest]) for row in kept for label in row.labels]),
        boxes_per_class=_per_class(
            classes, [(one.label, told[row.digest]) for row in kept for one in row.annotations if one.box is not None]
        ),
    )  # fmt: skip
    out_dir.mkdir(parents=True, exist_ok=True)
    if not result.folder.exists():
        _write_version(result, kept, told)
    write_json(out_dir / "current.json", summary(result))
    return result


def _deduplicate(rows: Iterable[TrainingRow]) -> list[TrainingRow]:
    """Each content once, with its latest label and the age of its earliest."""
    latest: dict[str, TrainingRow] = {}
    for row in sorted(rows, key=lambda row: (row.landed, row.round, row.file, repr(row.annotations))):
        landed = latest.get(row.digest, row).landed
        latest[row.digest] = replace(row, landed=landed)
    return [latest[digest] for digest in sorted(latest)]


def _usable(rows: Sequence[TrainingRow]) -> tuple[list[TrainingRow], list[LeftOut]]:
    boxes = any(row.boxes for row in rows if not row.unusable)
    kept, left_out = [], []
    for row in rows:
        reason = row.unusable
        if not reason and not boxes and len(row.labels) != 1:
            shown = ", ".join(row.labels[:5])
            reason = f"it has {len(row.labels)} classes, where one is needed: {shown}" if shown else "it has no class"
        if reason:
            left_out.append(LeftOut(row.file, row.digest, reason))
        else:
            kept.append(row)
    return kept, left_out


def _per_class(classes: Sequence[str], found: Sequence[tuple[str, Mapping[str, Any]]]) -> dict[str, dict[str, int]]:
    counts = Counter((label, entry["split"]) for label, entry in found)
    return {name: {split: counts[name, split] for split in SPLITS} for name in classes}


def _version(
    kept: Sequence[TrainingRow],
    told: Mapping[str, Mapping[str, Any]],
    left_out: Sequence[LeftOut],
    lineage: Lineage,
    validation_share: float,
) -> str:
    table = [
        [row.digest, row.file, row.width, row.height, row.round, row.groups, told[row.digest], [one.to_json() for one in row.annotations]]
        for row in kept
    ]  # fmt: skip
    content = [LAYOUT, validation_share, table, [asdict(one) for one in left_out], asdict(lineage)]
    told_whole = json.dumps(content, sort_keys=True, ensure_ascii=True)
    return f"v{hashlib.sha256(told_whole.encode()).hexdigest()[:16]}"


def _write_version(result: TrainingSet, rows: Sequence[TrainingRow], told: Mapping[str, Mapping[str, Any]]) -> None:
    """Write all files beside their place, then move the folder there in one step."""
    draft = Path(tempfile.mkdtemp(prefix=".draft-", dir=result.folder.parent))
    try:
        write_files(result, rows, told, draft, LAYOUT)
        draft.chmod(0o755)
        try:
            draft.rename(result.folder)
        except OSError:
            # Another process has put the same content there meanwhile.
            if not (result.folder / "manifest.json").exists():
                raise
    finally:
        shutil.rmtree(draft, ignore_errors=True)
