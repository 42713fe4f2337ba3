"""YOLO: files that name neither their image nor its size."""

from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline_tests.labels.files import read, sizes_of, zipped

YAML = b"path: ..\nnc: 2\nnames:\n  0: cat\n  1: dog\n"
LINE = b"1 0.5 0.5 0.25 0.5\n"


def archive(text: bytes = LINE, **more: bytes) -> bytes:
    return zipped({"data.yaml": YAML, "labels/a.txt": text, "labels/good.txt": LINE} | more)


@pytest.mark.parametrize(
    "names", [{"data.yaml": b"names: [cat, dog]"}, {"classes.txt": b"cat\ndog\n"}, {"x/data.yml": YAML}]
)
@pytest.mark.parametrize("folder", ["labels/train/", "set/labels/", ""])
def test_boxes_become_pixels_of_the_image_as_shown(tmp_path: Path, names: dict[str, bytes], folder: str) -> None:
    sizes = {"cats/a.b.jpg": ImageSize((80, 100), (100, 80), 6)}
    content = read(tmp_path, zipped(names | {f"{folder}a.b.txt": LINE, "train.txt": b"cats/a.b.jpg"}), sizes)
    (record,) = content.records
    assert (record.key, record.labels, record.width, record.height) == ("cats/a.b.jpg", ["dog"], 100, 80)
    assert record.annotations[0]["box"] == pytest.approx([37.5, 20, 25, 40])


def test_polygons_are_read(tmp_path: Path) -> None:
    (record, _) = read(tmp_path, archive(b"0 0 0 0.5 0 0.5 0.5\n"), sizes_of("a.jpg", "good.jpg")).records
    (one,) = record.annotations
    assert (one["kind"], one["polygon"], one["box"]) == ("polygon", [[0, 0], [50, 0], [50, 40]], [0, 0, 50, 40])


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"2 0.5 0.5 0.1 0.1", "class '2' is unknown"),
        (b"-1 0.5 0.5 0.1 0.1", "class '-1' is unknown"),
        (b"1.0 0.5 0.5 0.1 0.1", "class '1.0' is unknown"),
        (b"cat 0.5 0.5 0.1 0.1", "class 'cat' is unknown"),
        (b"0 0.5 0.5 0.1", "has 3 numbers"),
        (b"0 0.5 0.5 0.1 0.1 0.9", "has 5 numbers"),
        (b"0 0.5 0.5 1_0 0.1", "no number"),
        (b"0 320 240 64 48", "wholly outside"),
        (b"\xff\xfe0", "no text in UTF-8"),
        (b"0 0.5 0.5 0.1 0.1\n\n0 nan 0.5 0.1 0.1", "no number"),
    ],
)
def test_each_fault_has_its_reason(tmp_path: Path, text: bytes, reason: str) -> None:
    content = read(tmp_path, archive(text), sizes_of("a.jpg", "good.jpg"))
    assert [record.key for record in content.records] == ["good.jpg"]
    assert [(one.record["key"], reason in one.reason) for one in content.quarantined] == [("a.jpg", True)]


def test_a_file_of_no_image_or_of_several_is_set_aside(tmp_path: Path) -> None:
    content = read(tmp_path, archive(), sizes_of("a.jpg", "a.png"))
    assert content.records == []
    assert [one.reason.split(" of ")[0] for one in content.quarantined] == ["2 images", "no image"]
    assert len(read(tmp_path, archive()).quarantined) == 2


def test_folders_tell_images_of_one_name_apart(tmp_path: Path) -> None:
    sizes = sizes_of("x/a.jpg", "y/a.jpg")
    content = read(tmp_path, zipped({"data.yaml": YAML, "labels/x/a.txt": LINE, "labels/y/a.txt": b""}), sizes)
    assert [(one.key, one.outcome) for one in content.records] == [("x/a.jpg", "labelled"), ("y/a.jpg", "pending")]


@pytest.mark.parametrize(
    "names",
    [
        b"names: [cat, dog]\nnc: 3",
        b"names: {0: cat, 0: dog}",
        b"names: [&n cat, *n]",
        b"names: 7",
        b"names: [cat, 3]",
        b"names: {cat: 0}",
        b"- cat",
        b"names: [",
        b"names: " + b"[" * 5_000,
        b"\xff",
        b"".join(b"#%d\n" % number for number in range(50_000)),
    ],
)
def test_names_that_cannot_be_told_stop_the_file(tmp_path: Path, names: bytes) -> None:
    with pytest.raises(UserError, match="names of classes"):
        read(tmp_path, zipped({"data.yaml": names, "labels/a.txt": LINE}), sizes_of("a.jpg"))


def test_names_that_disagree_stop_the_file(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="disagree"):
        read(tmp_path, archive(**{"classes.txt": b"dog\ncat\n"}), sizes_of("a.jpg"))
    assert len(read(tmp_path, archive(**{"classes.txt": b"cat\ndog\n"}), sizes_of("a.jpg", "good.jpg")).records) == 2


def test_two_layouts_in_one_archive_are_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 exports"):
        read(
            tmp_path,
            archive(**{"coco.json": b'{"images": [], "annotations": [], "categories": []}'}),
            sizes_of("a.jpg"),
        )
