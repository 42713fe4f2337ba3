import os
import uuid
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home
from alaas_pipeline.store import Store, open_store
from alaas_pipeline_tests.s3_servers import connect, moto, use


@pytest.fixture(scope="module")
def endpoint() -> Iterator[str]:
    with moto() as address:
        connect(address).create_bucket(Bucket="files")
        yield address


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A local store, one on S3, and one behind fsspec, whose own in-memory service stands for all others."""
    use(endpoint, monkeypatch)
    places = {"folder": tmp_path, "memory": f"memory://{uuid.uuid4().hex}", "s3": f"s3://files/{uuid.uuid4().hex}"}
    return Store(f"{places[request.param]}/files/")


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


def test_what_is_made_on_this_machine_is_put_in_its_place(store: Store) -> None:
    with store.making("a/b/file.bin") as path:
        path.write_bytes(b"one")
    assert store.read_bytes("a/b/file.bin") == b"one"
    with store.making("set") as folder:
        (folder / "v1").mkdir(parents=True)
        (folder / "v1" / "deep").write_bytes(b"deep")
        (folder / "current").write_bytes(b"v1")
    assert (store.read_bytes("set/v1/deep"), store.read_bytes("set/current")) == (b"deep", b"v1")
    # What was written before a failure is kept, and what was taken away is not.
    with suppress(ZeroDivisionError), store.making("half") as path:
        path.write_bytes(b"half")
        raise ZeroDivisionError
    with store.making("nothing") as path:
        path.write_bytes(b"x")
        path.unlink()
    assert store.read_bytes("half") == b"half"
    assert store.list() == ["a/b/file.bin", "half", "set/current", "set/v1/deep"]


def test_of_a_folder_the_file_on_top_is_written_last(monkeypatch: pytest.MonkeyPatch) -> None:
    store, order = Store(f"memory://{uuid.uuid4().hex}"), list[str]()
    monkeypatch.setattr(store, "write_bytes", lambda rel, data: order.append(rel))
    with store.making("set") as folder:
        (folder / "v1" / "x").mkdir(parents=True)
        for name in ("current.json", "v1/manifest.json", "v1/x/a"):
            (folder / name).touch()
    assert order == ["set/v1/x/a", "set/v1/manifest.json", "set/current.json"]


def test_one_setting_names_the_store(tmp_path: Path, endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(endpoint, monkeypatch)
    home = Home(tmp_path)
    monkeypatch.delenv("ALAAS_FILES", raising=False)
    assert open_store(home).root == str(tmp_path / "files")
    for setting, root in (
        (" s3://files/a/ ", "s3://files/a"),
        (f"{tmp_path}/b/", f"{tmp_path}/b"),
        (f"file://{tmp_path}/c", f"{tmp_path}/c"),
        ("", str(tmp_path / "files")),
    ):
        monkeypatch.setenv("ALAAS_FILES", setting)
        assert open_store(home).root == root
    monkeypatch.setenv("ALAAS_FILES", "files")
    with pytest.raises(UserError, match="ALAAS_FILES is the relative path 'files'"):
        open_store(home)


def test_a_store_that_cannot_be_used_is_said_without_secrets(endpoint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    use(endpoint, monkeypatch)
    for call in (
        lambda store: store.write_bytes("a", b"x"),
        lambda store: store.list(),
    ):
        with pytest.raises(UserError, match=r"s3://none-there/x cannot be .*the bucket does not exist"):
            call(Store("s3://none-there/x"))
    with pytest.raises(UserError) as caught:
        Store("s3://KEY:verysecret@bucket/x")
    assert "verysecret" not in str(caught.value)


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


def test_unusable_roots_are_refused_with_a_remedy() -> None:
    with pytest.raises(UserError, match="no root"):
        Store(" ")
    with pytest.raises(UserError, match="unknown; give a folder"):
        Store("nonsense://x")
    with pytest.raises(UserError, match="gs:// needs a package that is missing: install gcsfs"):
        Store("gs://bucket/prefix")
