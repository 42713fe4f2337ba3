import os
import sys
import uuid
from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.store import Store


@pytest.fixture(params=["folder", "memory"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """A local store, and one behind fsspec (its own in-memory service stands for any object store)."""
    return Store(str(tmp_path / "files") if request.param == "folder" else f"memory://{uuid.uuid4().hex}/files/")


def test_bytes_come_back_and_are_replaced(store: Store) -> None:
    assert not store.exists("cats/r0001/sheet.jpg")
    assert store.write_bytes("cats/r0001/sheet.jpg", b"one") == store.path("cats", "r0001/sheet.jpg")
    store.write_bytes("cats/r0001/sheet.jpg", b"two")
    assert store.exists("cats/r0001/sheet.jpg")
    assert not store.exists("cats/r0001")
    assert store.read_bytes("cats/r0001/sheet.jpg") == b"two"


def test_a_missing_file_is_an_ordinary_error(store: Store) -> None:
    with pytest.raises(FileNotFoundError):
        store.read_bytes("nothing.json")


def test_list_is_sorted_relative_and_empty_for_a_missing_folder(store: Store) -> None:
    for name in ("b/2 ü.bin", "a/1.bin", "b/c/3.bin", "bb/4.bin"):
        store.write_bytes(name, b"x")
    assert store.list() == ["a/1.bin", "b/2 ü.bin", "b/c/3.bin", "bb/4.bin"]
    assert store.list("b") == ["b/2 ü.bin", "b/c/3.bin"]
    assert store.list("nowhere") == []


def test_json_is_stable_and_checked(store: Store) -> None:
    value = {"b": [1, 2.5, None], "a": "é"}
    store.write_json("x.json", value)
    first = store.read_bytes("x.json")
    store.write_json("x.json", dict(reversed(value.items())))
    assert store.read_bytes("x.json") == first
    assert store.read_json("x.json") == value
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.write_json("x.json", float("nan"))
    assert store.read_json("x.json") == value
    store.write_bytes("x.json", b'{"a": ')
    with pytest.raises(UserError, match=r"x\.json.*not valid JSON"):
        store.read_json("x.json")


@pytest.mark.parametrize("part", ["", "..", "a/../b", "/etc/passwd", "a//b", "./a", "a\\b", "a\nb", "a\0b", "a/"])
def test_parts_that_lead_elsewhere_are_refused(store: Store, part: str) -> None:
    for call in (store.path, store.read_bytes, store.exists, lambda rel: store.write_bytes(rel, b"")):
        with pytest.raises(UserError, match="inside the store"):
            call(part)


def test_local_paths_only_of_local_roots(tmp_path: Path) -> None:
    assert Store(str(tmp_path)).local("a", "b/c.bin") == tmp_path / "a/b/c.bin"
    with pytest.raises(UserError, match="not a local folder"):
        Store("memory://x").local("a")


def test_local_writes_leave_no_traces_when_they_fail(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("a.bin", b"old")

    def fail(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", fail)
        with pytest.raises(OSError, match="No space"):
            store.write_bytes("a.bin", b"new")
    assert store.read_bytes("a.bin") == b"old"
    assert os.listdir(tmp_path) == ["a.bin"]


def test_what_a_killed_writer_left_behind_is_not_listed(tmp_path: Path) -> None:
    store = Store(str(tmp_path))
    store.write_bytes("a.bin", b"x")
    (tmp_path / f".{uuid.uuid4().hex}.tmp").write_bytes(b"half")
    assert store.list() == ["a.bin"]


def test_files_follow_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o022)
    try:
        Store(str(tmp_path)).write_bytes("a.bin", b"x")
    finally:
        os.umask(before)
    assert (tmp_path / "a.bin").stat().st_mode & 0o777 == 0o644


def test_relative_and_root_folders_are_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert Store("files").path("a") == f"{tmp_path}/files/a"
    assert Store("/").path("a") == "/a"


def test_unusable_roots_are_refused_with_a_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no root"):
        Store(" ")
    with pytest.raises(UserError, match="unknown; give a folder"):
        Store("nonsense://x")
    monkeypatch.setitem(sys.modules, "s3fs", None)
    with pytest.raises(UserError, match=r"install alaas-pipeline\[s3\]"):
        Store("s3://bucket/prefix")
