import unicodedata
from pathlib import Path

import pytest

from alaas_pipeline.sandbox import SandboxError
from alaas_pipeline.sandbox.names import names_of, sha256
from alaas_pipeline.sandbox.truth import load_truth
from alaas_pipeline_tests.sandbox.api import picture, table
from alaas_pipeline_tests.sandbox.conftest import Serve

NFD = unicodedata.normalize("NFD", "Bär")
NFC = unicodedata.normalize("NFC", "Bär")


def write(folder: Path, files: dict[str, bytes]) -> Path:
    for name, data in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


def test_nothing_is_known_by_default() -> None:
    assert load_truth(None).label("0" * 64, "cats/a.png") is None


@pytest.mark.parametrize(
    ("path", "label"),
    [
        ("cats/a.png", "cats"),
        ("cats/deep/er/a.png", "cats"),
        ("two words/a b.png", "two words"),
        (f"{NFD}/a.png", NFC),
        ("a.png", None),
        ("cats__photo 1__3fa91c2b7d0e4f11.jpg", "cats"),
        ("cats__tabby__photo__3fa91c2b7d0e4f11.jpg", "cats"),
        (f"{NFD}__photo__3fa91c2b7d0e4f11.jpg", NFC),
        ("photo 1__3fa91c2b7d0e4f11.jpg", None),
        ("__photo__3fa91c2b7d0e4f11.jpg", None),
    ],
)
def test_the_top_folder_is_the_class(path: str, label: str | None) -> None:
    assert load_truth("subfolder").label("", path) == label


def test_a_folder_is_matched_by_content(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            f"{NFD}/a b.png": picture(1),
            "cats/deep/b.png": picture(2),
            "top.png": picture(3),
            ".hidden/c.png": picture(4),
            "cats/.DS_Store": b"x",
        },
    )
    truth = load_truth(str(tmp_path))
    assert truth.label(sha256(tmp_path / f"{NFD}/a b.png"), "renamed.jpg") == NFC
    assert truth.label(sha256(tmp_path / "cats/deep/b.png"), "") == "cats"
    assert truth.label(sha256(tmp_path / "top.png"), "cats/x.png") is None
    assert truth.label(sha256(tmp_path / ".hidden/c.png"), "") is None


def test_the_first_of_two_classes_with_the_same_content_counts(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write(tmp_path, {"b/x.png": b"1", "a/y.png": b"1"})
    assert load_truth(str(tmp_path)).label(sha256(tmp_path / "a/y.png"), "") == "a"
    assert "same content" in caplog.text


def test_a_table_beside_its_files_is_matched_by_content(tmp_path: Path) -> None:
    write(tmp_path, {"img/a b.png": picture(1), f"img/{NFD}.png": picture(2)})
    truth = load_truth(table(tmp_path, f"label,file,note\ncat,img/a b.png,x\n{NFD},img/{NFD}.png,\n"))
    assert truth.label(sha256(tmp_path / "img/a b.png"), "else.png") == "cat"
    assert truth.label(sha256(tmp_path / f"img/{NFD}.png"), "") == NFC
    assert truth.label("0" * 64, "img/a b.png") is None


@pytest.mark.parametrize(
    "uploaded",
    [
        "pets/photo 1.jpg",
        "elsewhere/photo 1.jpg",
        "photo 1.jpg",
        "pets__photo 1__3fa91c2b7d0e4f11.jpg",
        "pets__photo 1__3fa91c2b7d0e4f11.png",
        "photo 1__3fa91c2b7d0e4f11.jpg",
    ],
)
def test_a_table_alone_is_matched_by_name(tmp_path: Path, uploaded: str) -> None:
    truth = load_truth(table(tmp_path, "file,label\npets/photo 1.jpg,cat\npets/other.jpg,dog\n"))
    assert truth.label("", uploaded) == "cat"


def test_names_are_compared_in_composed_unicode(tmp_path: Path) -> None:
    truth = load_truth(table(tmp_path, f"file,label\n{NFC}/{NFC}.jpg,{NFD}\n"))
    assert truth.label("", f"{NFD}/{NFD}.jpg") == NFC
    assert truth.label("", f"{NFD}__{NFD}__3fa91c2b7d0e4f11.jpg") == NFC


def test_a_short_name_that_means_two_images_means_neither(tmp_path: Path) -> None:
    for rows in ("a/x.jpg,cat\nb/x.jpg,dog\n", "b/x.jpg,dog\na/x.jpg,cat\n"):
        truth = load_truth(table(tmp_path, "file,label\n" + rows))
        assert truth.label("", "x.jpg") is None
        assert truth.label("", "a/x.jpg") == "cat"
        assert truth.label("", "b__x__3fa91c2b7d0e4f11.jpg") == "dog"
    exact = load_truth(table(tmp_path, "file,label\nx.jpg,bird\na/x.jpg,cat\n"))
    assert exact.label("", "x.jpg") == "bird"
    assert exact.label("", "a/x.jpg") == "cat"


def test_the_surest_name_comes_first() -> None:
    assert names_of("a__b__c.jpg")[:5] == ["a__b__c.jpg", "a__b__c.jpg", "a__b__c", "a/b.jpg", "a/b"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("name,label\na.png,cat\n", "columns file and label"),
        ("", "columns file and label"),
        ("file,label\n", "no rows"),
        ("file,label\na.png,cat\nb.png,\n", "row 3"),
        ("file,label\n,cat\n", "row 2"),
        ("file,label\na.png,cat\nmissing.png,dog\n", "row 3: there is no file missing.png"),
        ("file,label\nz.png,cat\nz.png,dog\n", "row 3"),
        ("file,label\na.png,cat\nsame.png,dog\n", "row 3"),
    ],
)
def test_an_unsound_table_is_refused_and_names_the_row(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, {"a.png": b"1", "same.png": b"1"})
    with pytest.raises(SandboxError, match=message):
        load_truth(table(tmp_path, text))


def test_a_missing_truth_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="does not exist"):
        load_truth(str(tmp_path / "nowhere.csv"))
    with pytest.raises(SandboxError, match="one folder for each class"):
        load_truth(str(write(tmp_path / "flat", {"a.png": b"1"})))
    binary = tmp_path / "labels.csv"
    binary.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SandboxError, match="UTF-8"):
        load_truth(str(binary))


@pytest.mark.parametrize("kind", ["folder", "table"])
def test_truth_reaches_the_labels(tmp_path: Path, serve: Serve, kind: str) -> None:
    files = {f"{NFD} 1/a b.png": picture(1), "cats/c.png": picture(2)}
    folder = write(tmp_path / "true", files)
    truth = str(folder)
    if kind == "table":
        truth = table(folder, f"file,label\n{NFD} 1/a b.png,{NFC} 1\ncats/c.png,cats\n")
    api = serve(truth=truth, pace=0)
    uid = api.project("renamed", {"x__1.png": picture(1), "y__2.png": picture(2), "z__3.png": picture(3)})
    api.act(uid, "approve")
    assert api.labels(uid) == {"x__1.png": f"{NFC} 1", "y__2.png": "cats", "z__3.png": None}
    assert api.status(uid) == "active"
