import pickle
from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.sources import UnreadableFile, is_image_name, parse_source


@pytest.mark.parametrize("name", ["a.jpg", "a/B.JPEG", "scan.dcm.xyz", "no_suffix", "ünï côdé.webp", "a.txt.png"])
def test_names_that_may_be_images(name: str) -> None:
    assert is_image_name(name)


@pytest.mark.parametrize(
    "name",
    ["a.txt", "labels.CSV", "x/meta.json", "README.md", "Thumbs.db", "x/.DS_Store", "LICENSE", "a.tar.gz"],
)
def test_names_of_other_kinds(name: str) -> None:
    assert not is_image_name(name)


@pytest.mark.parametrize(
    ("source", "parts"),
    [
        ("s3://photos", ("s3", "photos", "")),
        ("s3://photos/", ("s3", "photos", "")),
        ("S3://photos/2024/cats", ("s3", "photos", "2024/cats/")),
        ("gs://photos/2024/", ("gs", "photos", "2024/")),
        ("file:///abs/x", ("folder", "/abs/x")),
        ("lists/cats.CSV", ("manifest", "/base/lists/cats.CSV")),
        ("/abs/cats.jsonl", ("manifest", "/abs/cats.jsonl")),
        ("cats and dogs", ("folder", "/base/cats and dogs")),
        ("../elsewhere", ("folder", "/elsewhere")),
        ("/abs/x/", ("folder", "/abs/x")),
        ("~/photos", ("folder", str(Path.home() / "photos"))),
    ],
)
def test_parse_source(source: str, parts: tuple[str, ...]) -> None:
    assert parse_source(source, Path("/base")) == parts


@pytest.mark.parametrize("source", ["", "  ", "s3://", "s3:///prefix", "a\0b", "simplecache::s3://bucket/x"])
def test_parse_source_refuses(source: str) -> None:
    with pytest.raises(UserError, match="s3://bucket/prefix"):
        parse_source(source, Path("/base"))


def test_a_manifest_elsewhere_is_told_from_a_prefix() -> None:
    with pytest.raises(UserError, match=r"^s3://photos/lists/cats\.csv is a manifest, .* copy it here"):
        parse_source("s3://photos/lists/cats.csv", Path("/base"))
    assert parse_source("s3://photos/cats.csv/", Path("/base")) == ("s3", "photos", "cats.csv/")


def test_a_folder_may_be_called_like_a_manifest(tmp_path: Path) -> None:
    (tmp_path / "cats.csv").mkdir()
    assert parse_source("cats.csv", tmp_path) == ("folder", str(tmp_path / "cats.csv"))


def test_parse_source_never_repeats_keys() -> None:
    with pytest.raises(UserError) as caught:
        parse_source("s3://AKIAKEY:verysecret@bucket/x", Path("/base"))
    assert "verysecret" not in str(caught.value)


def test_unreadable_file_survives_pickling() -> None:
    error = pickle.loads(pickle.dumps(UnreadableFile("missing", "'a.jpg' is gone.")))
    assert (error.reason, str(error)) == ("missing", "'a.jpg' is gone.")
