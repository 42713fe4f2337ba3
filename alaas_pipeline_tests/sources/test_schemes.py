"""Sources on any other service that fsspec knows; its own in-memory service stands for all."""

import unicodedata
import uuid
from pathlib import Path
from typing import Any

import fsspec
import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.remote import ObjectRefused
from alaas_pipeline.remote.schemes import Files
from alaas_pipeline.sources import UnreadableFile, open_source

LIMIT = 100


@pytest.fixture
def place() -> str:
    return uuid.uuid4().hex


@pytest.fixture
def there() -> Any:
    return fsspec.filesystem("memory")


def test_lists_and_reads_below_the_prefix_alone(there: Any, place: str) -> None:
    mixed = f"é/{unicodedata.normalize('NFD', 'é')}.png"
    for name in ("cats/b.jpg", f"cats/{mixed}", "cats/notes.txt", "cats/.x/h.jpg", "cats2/c.jpg", "d.jpg"):
        there.pipe_file(f"/{place}/{name}", name.encode())
    source = open_source(f"memory://{place}/cats", Path("/"))
    assert source.name == f"memory://{place}/cats/"
    files = list(source.list())
    assert [file.path for file in files] == ["b.jpg", "é/é.png"]
    assert source.read("b.jpg", LIMIT, files[0].version) == b"cats/b.jpg"
    assert source.read("é/é.png", LIMIT) == f"cats/{mixed}".encode()
    assert len(list(open_source(f"memory://{place}", Path("/")).list())) == 4


def test_what_ails_one_file_is_said_of_it(there: Any, place: str) -> None:
    there.pipe_file(f"/{place}/p/a.jpg", b"12345")
    source = open_source(f"memory://{place}/p", Path("/"))
    (file,) = source.list()

    def reason(path: str, limit: int = LIMIT) -> str:
        with pytest.raises(UnreadableFile) as caught:
            source.read(path, limit, file.version)
        return caught.value.reason

    assert (reason("a.jpg", 4), reason("gone.jpg")) == ("too_large", "missing")
    there.pipe_file(f"/{place}/p/a.jpg", b"54321")
    assert reason("a.jpg") == "changed_while_reading"


@pytest.mark.parametrize("told", [(), ("size",), ("size", "etag")])
def test_services_whose_listing_tells_less_than_a_look(
    there: Any, place: str, monkeypatch: pytest.MonkeyPatch, told: tuple[str, ...]
) -> None:
    there.pipe_file(f"/{place}/a.jpg", b"12345")
    files = Files(f"memory://{place}")
    plain = files._fs.ls

    def ls(path: str, **options: Any) -> Any:
        marks = {"size": 5, "etag": "one"}
        kept = {"size": None} | {name: marks[name] for name in told}
        return [{"name": one["name"], "type": one["type"], **kept} for one in plain(path, **options)]

    monkeypatch.setattr(files._fs, "ls", ls)
    (found,) = files.list()
    monkeypatch.setattr(files._fs, "info", lambda path: {"type": "file", "size": 5, "etag": "one"})
    assert files.read("a.jpg", LIMIT, found.version) == b"12345"
    with pytest.raises(ObjectRefused, match="too_large"):
        files.read("a.jpg", 4)
    monkeypatch.setattr(files._fs, "info", lambda path: {"type": "file", "size": 5, "etag": "two"})
    if "etag" in told:
        with pytest.raises(ObjectRefused, match="changed_while_reading"):
            files.read("a.jpg", LIMIT, found.version)
    else:
        assert files.read("a.jpg", LIMIT, found.version) == b"12345"


def test_an_empty_place_is_said(place: str) -> None:
    with pytest.raises(UserError, match=f"nothing at memory://{place}/typo/"):
        list(open_source(f"memory://{place}/typo", Path("/")).list())


class Guarded(Exception):
    """What the library of a service raises; its text holds an address."""

    def __init__(self, status: int) -> None:
        super().__init__("https://host/x?Signature=abc")
        self.status = status


@pytest.mark.parametrize("error", [FileNotFoundError("x"), PermissionError("x"), Guarded(500), Guarded(403)])
def test_a_folder_below_that_cannot_be_listed_is_no_empty_one(
    there: Any, place: str, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    for name in ("a.jpg", "sub/b.jpg"):
        there.pipe_file(f"/{place}/{name}", b"x")
    files = Files(f"memory://{place}")
    listing = files._fs.ls

    def ls(path: str, **options: Any) -> Any:
        if path.endswith("sub"):
            raise error
        return listing(path, **options)

    monkeypatch.setattr(files._fs, "ls", ls)
    with pytest.raises(UserError, match=rf"memory://{place} cannot be read \({type(error).__name__}\)") as caught:
        list(files.list())
    assert "Signature" not in f"{caught.value!r}"


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("gs://bucket/x", "gs:// needs a package that is missing: install gcsfs."),
        ("az://box/x", "az:// needs a package that is missing: install adlfs."),
        ("nonsense://x", "nonsense:// is unknown"),
        ("https://me:verysecret@host/x", "holds no passwords or keys"),
        ("https://host/x?Signature=verysecret", "is a place without"),
    ],
)
def test_what_cannot_be_opened_is_said_with_the_remedy(source: str, told: str) -> None:
    with pytest.raises(UserError) as caught:
        open_source(source, Path("/"))
    assert told in str(caught.value)
    assert "verysecret" not in str(caught.value)
