"""Versions of the training set: by content, without leaks, readable by others."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.labels.training_set import TrainingRow, TrainingSet, build_training_set, split_of


def read_table(made: TrainingSet) -> list[dict[str, Any]]:
    import polars as pl

    return pl.read_parquet(made.folder / "labels.parquet").to_dicts()


def rows(count: int = 60, group_of: int = 3) -> list[TrainingRow]:
    return [
        TrainingRow(
            digest=f"{number:064x}",
            file=f"folder {number % 4}/bild ü{number}.jpg",
            label=("cat", "dog", "fox")[number % 3],
            width=640,
            height=480 if number % 5 else None,
            round=f"cats.r000{1 + number % 2}",
            group=f"g{number // group_of}" if number % 7 else "",
        )
        for number in range(count)
    ]


def test_the_forms_agree_with_each_other(tmp_path: Path) -> None:
    made = build_training_set(rows(), tmp_path)
    table = read_table(made)
    assert len(table) == made.images == 60
    assert made.train + made.validation == 60
    assert made.classes == ["cat", "dog", "fox"]
    assert made.rounds == ["cats.r0001", "cats.r0002"]

    listed: dict[str, tuple[str, str]] = {}
    classes = (made.folder / "classes.txt").read_text(encoding="utf-8").splitlines()
    for split, count in (("train", made.train), ("val", made.validation)):
        lines = (made.folder / f"{split}.txt").read_text(encoding="utf-8").splitlines()
        assert len(lines) == count > 0
        for line in lines:
            index, _, file = line.partition(" ")
            listed[file] = (classes[int(index)], split)
        coco = json.loads((made.folder / "annotations" / f"labels_{split}.json").read_text(encoding="utf-8"))
        names = {category["id"]: category["name"] for category in coco["categories"]}
        images = {image["id"]: image["file_name"] for image in coco["images"]}
        assert {images[one["image_id"]]: names[one["category_id"]] for one in coco["annotations"]} == {
            file: label for file, (label, side) in listed.items() if side == split
        }
        assert all("bbox" not in one for one in coco["annotations"])
    assert listed == {row["file"]: (row["label"], row["split"]) for row in table}


def test_order_does_not_matter_and_content_does(tmp_path: Path) -> None:
    shuffled = rows()
    random.Random(1).shuffle(shuffled)
    one, two = build_training_set(rows(), tmp_path / "a"), build_training_set(shuffled, tmp_path / "b")
    assert one.version == two.version
    assert (one.folder / "train.txt").read_bytes() == (two.folder / "train.txt").read_bytes()
    changed = [replace(rows()[0], label="dog"), *rows()[1:]]
    assert build_training_set(changed, tmp_path / "a").version != one.version
    assert build_training_set(rows(), tmp_path / "a", validation_share=0.3).version != one.version


def test_no_group_stands_on_both_sides(tmp_path: Path) -> None:
    table = read_table(build_training_set(rows(300), tmp_path))
    sides: dict[str, set[str]] = {}
    for row in table:
        sides.setdefault(row["group"] or row["digest"], set()).add(row["split"])
    assert all(len(side) == 1 for side in sides.values())
    assert {split for side in sides.values() for split in side} == {"train", "val"}


def test_a_later_round_moves_no_image_across(tmp_path: Path) -> None:
    early, late = (
        {row["digest"]: row["split"] for row in read_table(build_training_set(rows(count), tmp_path))}
        for count in (40, 80)
    )
    assert len(early) == 40
    assert early.items() <= late.items()


def test_the_share_is_kept_about() -> None:
    sides = Counter(split_of(f"group-{number}", 0.2) for number in range(5_000))
    assert 0.18 < sides["val"] / 5_000 < 0.22
    assert {split_of("x", 0.0), split_of("x", 1.0)} == {"train", "val"}
    with pytest.raises(ValueError, match="between 0 and 1"):
        build_training_set([], Path("unused"), validation_share=1.5)


def test_the_latest_round_wins_for_an_image_that_comes_twice(tmp_path: Path) -> None:
    first = rows(1)[0]
    again = replace(first, label="dog", round="cats.r0009", file="copy.jpg")
    for order in ([first, again], [again, first]):
        made = build_training_set(order, tmp_path)
        assert [row["label"] for row in read_table(made)] == ["dog"]
        assert made.images == 1


def test_the_pointer_names_the_current_version_and_nothing_half_done_stays(tmp_path: Path) -> None:
    one, two = build_training_set(rows(10), tmp_path), build_training_set(rows(20), tmp_path)
    pointer = json.loads((tmp_path / "current.json").read_text(encoding="utf-8"))
    assert pointer["version"] == pointer["folder"] == two.version
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["current.json", one.version, two.version])
    manifest = json.loads((two.folder / "manifest.json").read_text(encoding="utf-8"))
    assert sum(sum(sides.values()) for sides in manifest["per_class"].values()) == 20


def test_a_version_that_exists_is_not_written_again(tmp_path: Path) -> None:
    made = build_training_set(rows(), tmp_path)
    before = (made.folder / "labels.parquet").stat()
    build_training_set(rows(20), tmp_path)
    assert build_training_set(rows(), tmp_path) == made
    after = (made.folder / "labels.parquet").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert json.loads((tmp_path / "current.json").read_text(encoding="utf-8"))["version"] == made.version


def test_a_failure_leaves_the_pointer_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build_training_set(rows(), tmp_path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("alaas_pipeline.labels.training_set._write_parquet", fail)
    with pytest.raises(OSError, match="disk full"):
        build_training_set(rows(20), tmp_path)
    assert json.loads((tmp_path / "current.json").read_text(encoding="utf-8"))["version"] == made.version
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["current.json", made.version])


def test_no_labels_yet_is_an_empty_version(tmp_path: Path) -> None:
    made = build_training_set([], tmp_path)
    assert (made.images, made.classes, made.rounds) == (0, [], [])
    assert read_table(made) == []


def test_a_line_break_in_a_name_stays_one_line(tmp_path: Path) -> None:
    made = build_training_set([replace(rows(1)[0], file="a\nb.jpg", group="x")], tmp_path)
    lines = (made.folder / "train.txt").read_text() + (made.folder / "val.txt").read_text()
    assert lines == "0 a\\nb.jpg\n"
