"""Versions of the training set: by content, without leaks, readable by others."""

import json
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from alaas_pipeline.labels.annotation import Annotation
from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline.labels.training.rows import Lineage, Origin, TrainingRow, TrainingSet
from alaas_pipeline.labels.training.split import split_of
from alaas_pipeline.labels.training_set import build_training_set
from alaas_pipeline_tests.labels.files import read, zipped

SPLITS = ("train", "val", "test")
TRIANGLE = ((10.0, 10.0), (30.5, 10.0), (10.0, 40.25))


def read_table(made: TrainingSet) -> list[dict[str, Any]]:
    import polars as pl

    return pl.read_parquet(made.folder / "labels.parquet").to_dicts()


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))


def said(*labels: str) -> tuple[Annotation, ...]:
    return tuple(Annotation(label, "classification") for label in labels)


def boxed(label: str, *box: float) -> Annotation:
    x, y, width, height = box
    return Annotation(label, "bounding_box", (x, y, width, height))


def rows(count: int = 60, group_of: int = 3) -> list[TrainingRow]:
    return [
        TrainingRow(
            digest=f"{number:064x}",
            file=f"folder {number % 4}/bild ü{number}.jpg",
            annotations=said(("cat", "dog", "fox")[number % 3]),
            width=640,
            height=480 if number % 5 else None,
            round=f"cats.r000{1 + number % 2}",
            near=f"g{number // group_of}" if number % 7 else f"{number:064x}",
        )
        for number in range(count)
    ]


def detected(count: int = 40) -> list[TrainingRow]:
    """Images with none, one or several boxes or polygons on each, and words of whole images between them."""
    choose = random.Random(7)
    made = []
    for number, row in enumerate(rows(count)):
        found = [
            boxed(choose.choice(["cat", "dog"]), *(choose.uniform(0.1, 200) for _ in range(4)))
            for _ in range(number % 4)
        ]
        if number % 5 == 0:
            found.append(Annotation("ant", "polygon", (10.0, 10.0, 20.5, 30.25), TRIANGLE))
        made.append(replace(row, annotations=tuple(found), height=480, test=number % 10 == 9, near=row.digest))
    return made


def test_the_forms_agree_with_each_other(tmp_path: Path) -> None:
    made = build_training_set([replace(row, test=row.near == "g2") for row in rows()], tmp_path)
    table = read_table(made)
    assert len(table) == made.images == 60
    assert (made.train + made.validation + made.test, made.boxes, made.left_out) == (60, 0, [])
    assert made.classes == ["cat", "dog", "fox"]

    listed: dict[str, tuple[str, str]] = {}
    classes = (made.folder / "classes.txt").read_text(encoding="utf-8").splitlines()
    for split, count in zip(SPLITS, (made.train, made.validation, made.test), strict=True):
        lines = (made.folder / f"{split}.txt").read_text(encoding="utf-8").splitlines()
        assert len(lines) == count > 0
        for line in lines:
            index, _, file = line.partition(" ")
            listed[file] = (classes[int(index)], split)
        coco = read_json(made.folder / "annotations" / f"labels_{split}.json")
        names = {category["id"]: category["name"] for category in coco["categories"]}
        images = {image["id"]: image["file_name"] for image in coco["images"]}
        assert {images[one["image_id"]]: names[one["category_id"]] for one in coco["annotations"]} == {
            file: label for file, (label, side) in listed.items() if side == split
        }
        assert all("bbox" not in one for one in coco["annotations"])
    assert listed == {row["file"]: (row["label"], row["split"]) for row in table}
    assert not (made.folder / "yolo").exists()


def test_coco_read_back_holds_every_box_that_landed(tmp_path: Path) -> None:
    landed = detected()
    made = build_training_set(landed, tmp_path)
    found = []
    for split in SPLITS:
        coco = read_json(made.folder / "annotations" / f"instances_{split}.json")
        names = {category["id"]: category["name"] for category in coco["categories"]}
        assert list(names.values()) == made.classes == ["ant", "cat", "dog"]
        images = {image["id"]: image["file_name"] for image in coco["images"]}
        sides = {row["file"]: row["split"] for row in read_table(made)}
        assert {sides[file] for file in images.values()} == {split}
        found += [
            (images[one["image_id"]], names[one["category_id"]], tuple(one["bbox"]), one["segmentation"])
            for one in coco["annotations"]
        ]
    wanted = [
        (row.file, one.label, one.box, [[value for corner in one.polygon for value in corner]] if one.polygon else [])
        for row in landed
        for one in row.annotations
    ]
    assert sorted(found) == sorted(wanted)
    assert len(wanted) == made.boxes > 60
    assert (made.images, made.test) == (40, 4)
    per_class = Counter(one.label for row in landed for one in row.annotations)
    assert {name: sum(sides.values()) for name, sides in made.boxes_per_class.items()} == per_class


def test_yolo_read_back_holds_every_box_that_landed(tmp_path: Path) -> None:
    landed = detected()
    made = build_training_set(landed, tmp_path)
    folder = made.folder / "yolo"
    sizes = {row.file: ImageSize((640, 480), (640, 480)) for row in landed}
    written = {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    content = read(tmp_path, zipped(written), sizes)
    assert content.quarantined == []
    found: dict[tuple[str, str], list[float]] = {}
    for one in content.records:
        for raw in one.annotations:
            found.setdefault((one.key, raw["label"]), []).extend(raw["box"])
    wanted: dict[tuple[str, str], list[float]] = {}
    for row in landed:
        for one in row.annotations:
            wanted.setdefault((row.file, one.label), []).extend(one.box or ())
    assert found.keys() == wanted.keys()
    assert all(found[key] == pytest.approx(wanted[key], abs=1e-5) for key in wanted)
    assert {one.key for one in content.records} == {row.file for row in landed}
    described = yaml.safe_load((folder / "data.yaml").read_text(encoding="utf-8"))
    listed = {split: (folder / described[split]).read_text(encoding="utf-8").splitlines() for split in SPLITS}
    sides = {row["file"]: row["split"] for row in read_table(made)}
    assert {line.removeprefix("./images/"): split for split, lines in listed.items() for line in lines} == sides


def test_the_table_of_annotations_holds_what_landed(tmp_path: Path) -> None:
    import polars as pl

    landed = detected()
    table = pl.read_parquet(build_training_set(landed, tmp_path).folder / "annotations.parquet")
    found = [(row["digest"], row["label"], row["x"], row["width"], row["polygon"]) for row in table.to_dicts()]
    wanted = [
        (row.digest, one.label, one.box[0], one.box[2], [list(corner) for corner in one.polygon] if one.polygon else None)
        for row in landed
        for one in row.annotations
        if one.box
    ]  # fmt: skip
    assert sorted(found, key=repr) == sorted(wanted, key=repr)


def test_what_yolo_cannot_hold_is_named_and_stops_nothing(tmp_path: Path) -> None:
    box = boxed("cat", 1, 2, 3, 4)
    one = replace(rows(1)[0], annotations=(box,), height=480, near="n")
    made = build_training_set(
        [
            replace(one, digest="a", file="a.jpg", near="a"),
            replace(one, digest="b", file="a.png", near="b"),
            replace(one, digest="c", file="c:d.jpg", near="c"),
            replace(one, digest="d", file="d.jpg", near="d", height=None),
            replace(one, digest="e", file="e.jpg", near="e", annotations=said("cat")),
            replace(one, digest="f", file="f.jpg", near="f", annotations=()),
        ],
        tmp_path,
    )
    assert (made.images, made.left_out) == (6, [])
    reasons = {entry["file"]: entry["reason"] for entry in read_json(made.folder / "manifest.json")["not_in_yolo"]}
    assert sorted(reasons) == ["a.png", "c:d.jpg", "d.jpg", "e.jpg"]
    assert "no known size" in reasons["d.jpg"]
    assert "no box" in reasons["e.jpg"]
    labels = made.folder / "yolo" / "labels"
    assert {path.name: path.read_text() != "" for path in labels.iterdir()} == {"a.txt": True, "f.txt": False}


def test_order_does_not_matter_and_content_does(tmp_path: Path) -> None:
    for number, some in enumerate((rows(), detected())):
        shuffled = list(some)
        random.Random(1).shuffle(shuffled)
        one = build_training_set(some, tmp_path / f"{number}a")
        two = build_training_set(shuffled, tmp_path / f"{number}b")
        assert one.version == two.version
        files = [path.relative_to(one.folder) for path in sorted(one.folder.rglob("*")) if path.is_file()]
        assert len(files) > 5
        assert all((one.folder / file).read_bytes() == (two.folder / file).read_bytes() for file in files)
    made = build_training_set(rows(), tmp_path / "a")
    changed = [replace(rows()[0], annotations=said("dog")), *rows()[1:]]
    others = [
        build_training_set(changed, tmp_path / "a"),
        build_training_set(rows(), tmp_path / "a", validation_share=0.3),
        build_training_set(rows(), tmp_path / "a", lineage=Lineage(encoder_id="other")),
        build_training_set([*rows(), replace(rows()[0], digest="x", unusable="why")], tmp_path / "a"),
    ]
    assert len({made.version, *(one.version for one in others)}) == 5


def test_the_manifest_tells_what_the_version_was_made_from(tmp_path: Path) -> None:
    lineage = Lineage((Origin("cats.r0001", 2, "e1", "s1"),), (Origin("cats.i0001", 1, "e2", "s2"),), "tiny-1")
    made = build_training_set(rows(), tmp_path, lineage=lineage)
    manifest = read_json(made.folder / "manifest.json")
    assert manifest["rounds"] == [{"key": "cats.r0001", "landing": 2, "export_digest": "e1", "schema_digest": "s1"}]
    assert manifest["imports"][0]["key"] == "cats.i0001"
    assert (manifest["encoder_id"], manifest["validation_share"]) == ("tiny-1", 0.2)
    assert sum(sum(sides.values()) for sides in manifest["per_class"].values()) == 60
    pointer = read_json(tmp_path / "current.json")
    assert (pointer["rounds"], pointer["imports"]) == (["cats.r0001"], ["cats.i0001"])


def test_where_labels_are_of_whole_images_one_class_is_needed(tmp_path: Path) -> None:
    some = rows(4)
    some[0] = replace(some[0], annotations=said("cat", "dog"))
    some[1] = replace(some[1], annotations=())
    some[2] = replace(some[2], annotations=said("fox", "fox"))
    made = build_training_set(some, tmp_path)
    assert {one.file: one.reason for one in made.left_out} == {
        some[0].file: "it has 2 classes, where one is needed: cat, dog",
        some[1].file: "it has no class",
    }
    assert [row["label"] for row in read_table(made)] == ["fox", "cat"]
    told = [read_json(made.folder / "annotations" / f"labels_{split}.json")["annotations"] for split in SPLITS]
    assert sum(map(len, told)) == 2
    some[3] = replace(some[3], annotations=(boxed("cat", 1, 2, 3, 4),))
    assert build_training_set(some, tmp_path).left_out == []


def test_the_share_is_kept_about() -> None:
    sides = Counter(split_of(f"group-{number}", 0.2) for number in range(5_000))
    assert 0.18 < sides["val"] / 5_000 < 0.22
    assert {split_of("x", 0.0), split_of("x", 1.0)} == {"train", "val"}
    with pytest.raises(ValueError, match="between 0 and 1"):
        build_training_set([], Path("unused"), validation_share=1.5)


def test_the_latest_label_wins_for_an_image_that_comes_twice(tmp_path: Path) -> None:
    first = rows(1)[0]
    again = replace(first, annotations=said("dog"), round="cats.i0001", file="copy.jpg", landed=3)
    for order in ([first, again], [again, first]):
        made = build_training_set(order, tmp_path)
        assert [row["label"] for row in read_table(made)] == ["dog"]
        assert made.images == 1


def test_the_pointer_names_the_current_version_and_nothing_half_done_stays(tmp_path: Path) -> None:
    one, two = build_training_set(rows(10), tmp_path), build_training_set(rows(20), tmp_path)
    pointer = read_json(tmp_path / "current.json")
    assert pointer["version"] == pointer["folder"] == two.version
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["current.json", one.version, two.version])


def test_a_version_that_exists_is_not_written_again(tmp_path: Path) -> None:
    made = build_training_set(rows(), tmp_path)
    before = (made.folder / "labels.parquet").stat()
    build_training_set(rows(20), tmp_path)
    assert build_training_set(rows(), tmp_path) == made
    after = (made.folder / "labels.parquet").stat()
    assert (before.st_ino, before.st_mtime_ns) == (after.st_ino, after.st_mtime_ns)
    assert read_json(tmp_path / "current.json")["version"] == made.version


def test_a_failure_leaves_the_pointer_and_no_draft(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = build_training_set(rows(), tmp_path)

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("alaas_pipeline.labels.training.files.write_parquet", fail)
    with pytest.raises(OSError, match="disk full"):
        build_training_set(rows(20), tmp_path)
    assert read_json(tmp_path / "current.json")["version"] == made.version
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(["current.json", made.version])


def test_no_labels_yet_is_an_empty_version(tmp_path: Path) -> None:
    made = build_training_set([], tmp_path)
    assert (made.images, made.classes, made.lineage) == (0, [], Lineage())
    assert read_table(made) == []


def test_a_line_break_in_a_name_stays_one_line(tmp_path: Path) -> None:
    made = build_training_set([replace(rows(1)[0], file="a\nb.jpg")], tmp_path)
    lines = (made.folder / "train.txt").read_text() + (made.folder / "val.txt").read_text()
    assert lines == "0 a\\nb.jpg\n"
