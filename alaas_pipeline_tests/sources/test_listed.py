"""A manifest as the source: images wherever its rows say, and every bad row named."""

import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import polars as pl
import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.sources import ManifestSource, UnreadableFile, open_source
from alaas_pipeline.sources.manifest import ManifestRow
from alaas_pipeline_tests.s3_servers import Fault, FaultyS3, connect, faulty, moto, use

LIMIT = 1000


def no_client() -> Any:
    raise AssertionError("nothing is on S3")


def source_of(path: Path, text: str) -> ManifestSource:
    path.write_text(text, encoding="utf-8")
    return ManifestSource(path, no_client)


def refusals(source: ManifestSource) -> dict[str, str]:
    """Path of each file that cannot be read -> why; the listing and the reading agree on which these are."""
    told = {}
    for file in source.list():
        if not file.refused:
            source.read(file.path, LIMIT, file.version)
            continue
        with pytest.raises(UnreadableFile) as caught:
            source.read(file.path, LIMIT, file.version)
        assert caught.value.reason == file.refused
        told[file.path] = str(caught.value)
    return told


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "sub").mkdir(parents=True)
    for name in ("a.jpg", "sub/b 猫.jpg"):
        (folder / name).write_bytes(name.encode())
    return folder


@pytest.mark.parametrize("form", ["csv", "parquet", "jsonl"])
def test_images_are_where_their_rows_say(tmp_path: Path, photos: Path, form: str) -> None:
    there = fsspec.filesystem("memory")
    place = f"/{uuid.uuid4().hex}/c"
    there.pipe_file(place, b"c")
    rows = [
        {"id": "relative", "uri": "photos/a.jpg", "group": "g", "weather": "rain"},
        {"id": "cats/absolute.jpg", "uri": str(photos / "sub/b 猫.jpg"), "group": None, "weather": None},
        {"id": "as a file", "uri": f"file://{photos}/a.jpg", "group": None, "weather": None},
        {"id": "photos/a.jpg", "uri": None, "group": None, "weather": None},
        {"id": "elsewhere", "uri": f"memory:/{place}", "group": None, "weather": None},
    ]
    path = tmp_path / f"list.{form}"
    {"csv": pl.DataFrame.write_csv, "parquet": pl.DataFrame.write_parquet, "jsonl": pl.DataFrame.write_ndjson}[form](
        pl.DataFrame(rows), path
    )
    source = open_source(f"list.{form}", tmp_path, no_client)
    assert isinstance(source, ManifestSource)
    files = list(source.list())
    assert [file.path for file in files] == [row["id"] for row in rows]
    read = [source.read(file.path, LIMIT, file.version) for file in files]
    assert read == [b"a.jpg", "sub/b 猫.jpg".encode(), b"a.jpg", b"a.jpg", b"c"]
    assert [file.bytes for file in files] == [len(data) for data in read]
    assert next(source.rows()) == ManifestRow("relative", "g", {"weather": "rain"}, "photos/a.jpg")
    # A process that reads without having listed.
    assert ManifestSource(path, no_client).read("elsewhere", LIMIT) == b"c"


def test_every_bad_row_is_named_and_stops_no_other(tmp_path: Path, photos: Path) -> None:
    os.mkfifo(photos / "pipe.jpg")
    os.symlink("/etc/hostname", photos / "link.jpg")
    rows = (
        "id,uri,group\n"
        "good,photos/a.jpg,g\n"
        ",photos/a.jpg,\n"
        "good,photos/b.jpg,\n"
        "short\n"
        "../up,photos/a.jpg,\n"
        "gone,photos/gone.jpg,\n"
        "folder,photos/sub,\n"
        "pipe,photos/pipe.jpg,\n"
        "link,photos/link.jpg,\n"
        "scheme,nonsense://x/y,\n"
        "package,gs://bucket/y,\n"
        "keyed,https://me:verysecret@host/y,\n"
        "long," + "x" * 300 + ",\n"
        "last,photos/sub/b 猫.jpg,\n"
    )
    source = source_of(tmp_path / "list.csv", rows)
    told = refusals(source)
    good = [file.path for file in source.list() if not file.refused]
    assert good == ["good", "last"]
    said = {
        "list.csv, line 3": "the id is empty",
        "list.csv, line 4": "the id 'good' stands twice",
        "list.csv, line 5": "it has 1 cells, the first line has 3",
        "list.csv, the id '../up'": "has an empty, dotted or absolute part",
        "gone": "is not there; put it there, or correct its 'uri'",
        "folder": "is a link to a folder",
        "pipe": "is no regular file",
        "link": "is a link that leaves the source",
        "scheme": "nonsense:// is unknown",
        "package": "gs:// needs a package that is missing: install gcsfs",
        "keyed": "holds no passwords or keys",
        "long": "is not there",
    }
    assert {path: words in told[path] for path, words in said.items()} == dict.fromkeys(said, True)
    assert set(told) == set(said)
    assert "verysecret" not in str(told)


def test_broken_lines_of_jsonl_are_bad_rows(tmp_path: Path, photos: Path) -> None:
    text = '{"id": "a", "uri": "photos/a.jpg", "metadata": {"iso": 100}}\n{"id": \n["x"]\n{"id": 7}\n'
    source = source_of(tmp_path / "list.jsonl", text)
    assert list(refusals(source)) == ["list.jsonl, line 2", "list.jsonl, line 3", "list.jsonl, line 4"]
    assert next(source.rows()) == ManifestRow("a", None, {"iso": 100}, "photos/a.jpg")


def test_metadata_of_csv_is_text_and_may_hold_an_object(tmp_path: Path) -> None:
    text = 'id,metadata\na,"{""iso"": 100, ""id"": ""no""}"\nb,{broken\nc,plain\n'
    rows = list(source_of(tmp_path / "list.csv", text).rows())
    facts = [row.values for row in rows if isinstance(row, ManifestRow)]
    assert facts == [{"iso": 100, "id": "no"}, {"metadata": "{broken"}, {"metadata": "plain"}]


@pytest.mark.parametrize(
    ("text", "told"),
    [("path\na\n", "has no column 'id'"), ('id,uri\na,"b\nc,d\n', "it is broken"), ("", "its columns are: none")],
)
def test_a_file_whose_rows_cannot_be_told_apart_is_one_message(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        list(source_of(tmp_path / "list.csv", text).list())
    with pytest.raises(UserError, match=r"correct 'source' in pools\.yaml"):
        list(ManifestSource(tmp_path / "none.csv", no_client).list())


def test_another_address_or_another_content_is_another_version_and_a_signature_is_none(
    tmp_path: Path, photos: Path
) -> None:
    def version(uri: str) -> str:
        (file,) = source_of(tmp_path / "list.csv", f"id,uri\na,{uri}\n").list()
        return file.version

    there = fsspec.filesystem("memory")
    place = uuid.uuid4().hex
    for name in ("x?sig=1", "x?sig=2"):
        there.pipe_file(f"/{place}/{name}", b"x")
        there.modified = None
    first = version("photos/a.jpg")
    assert version("photos/a.jpg") == first
    os.link(photos / "a.jpg", photos / "same.jpg")
    assert version("photos/same.jpg") != first
    os.utime(photos / "a.jpg", ns=(1, 1))
    assert version("photos/a.jpg") != first
    assert (
        version(f"memory://{place}/x?sig=1").rpartition("@")[2]
        == version(f"memory://{place}/x?sig=2").rpartition("@")[2]
    )


def test_a_file_that_changed_since_the_listing_is_not_taken_for_the_listed_one(tmp_path: Path, photos: Path) -> None:
    source = source_of(tmp_path / "list.csv", "id,uri\na,photos/a.jpg\n")
    (file,) = source.list()
    (photos / "a.jpg").write_bytes(b"other")
    with pytest.raises(UnreadableFile, match="changed while it was read"):
        source.read("a", LIMIT, file.version)


@pytest.fixture(scope="module")
def s3() -> Iterator[FaultyS3]:
    with moto() as behind, faulty(behind) as server:
        yield server


def test_rows_on_s3(tmp_path: Path, s3: FaultyS3, monkeypatch: pytest.MonkeyPatch) -> None:
    use(s3.endpoint, monkeypatch)
    client = connect(s3.endpoint)
    client.create_bucket(Bucket="listed")
    client.put_object(Bucket="listed", Key="x/.é/a.jpg", Body=b"a")
    (tmp_path / "list.csv").write_text(
        "id,uri\na.jpg,s3://listed/x/.é/a.jpg\nb.jpg,s3://listed/b.jpg\nc.jpg,s3://no-bucket/c\n"
    )
    made = []
    source = ManifestSource(tmp_path / "list.csv", lambda: made.append(1) or connect(s3.endpoint))
    assert {file.path: file.refused for file in source.list()} == {"a.jpg": "", "b.jpg": "missing", "c.jpg": "missing"}
    (file, *_) = source.list()
    assert source.read("a.jpg", LIMIT, file.version) == b"a"
    assert made == [1]
    # A look costs no content.
    assert s3.count("GET", "a.jpg") == 1
    client.put_object(Bucket="listed", Key="x/.é/a.jpg", Body=b"b")
    with pytest.raises(UnreadableFile, match="changed while it was read"):
        source.read("a.jpg", LIMIT, file.version)
    # What ails the service is no fault of a row.
    s3.faults = [Fault("ExpiredToken", times=float("inf"))]
    with pytest.raises(UserError, match=r"s3://listed cannot be read: the credentials have expired"):
        list(source.list())
