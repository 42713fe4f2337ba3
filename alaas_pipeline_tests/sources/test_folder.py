import os
import socket
import subprocess
import unicodedata
from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.sources import FolderSource, UnreadableFile

LIMIT = 1000
NFC = "café.jpg"
NFD = unicodedata.normalize("NFD", NFC)


def put(path: Path, data: bytes = b"x") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def listed(root: Path) -> dict[str, str]:
    files = list(FolderSource(root).list())
    names = {file.path: file.refused for file in files}
    assert len(names) == len(files)
    return names


def reason(source: FolderSource, path: str, limit: int = LIMIT) -> str:
    with pytest.raises(UnreadableFile) as caught:
        source.read(path, limit)
    assert str(caught.value).endswith(".")
    return caught.value.reason


def test_lists_recursively_sorted_without_hidden_and_other_kinds(tmp_path: Path) -> None:
    for name in (
        "b.png",
        "a/x.jpg",
        "a-b/y",
        "A.JPG",
        ".hidden.jpg",
        ".git/z.jpg",
        "a/notes.txt",
        "a/deep/er/q.gif",
    ):
        put(tmp_path / name, name.encode())
    paths = [file.path for file in FolderSource(tmp_path).list()]
    assert paths == sorted(paths) == ["A.JPG", "a-b/y", "a/deep/er/q.gif", "a/x.jpg", "b.png"]


def test_reads_what_it_lists_with_size_and_version(tmp_path: Path) -> None:
    source = FolderSource(tmp_path)
    put(tmp_path / "a/one two.jpg", b"first")
    (before,) = source.list()
    assert (before.bytes, source.read(before.path, LIMIT)) == (5, b"first")
    put(tmp_path / "a/one two.jpg", b"second")
    (after,) = source.list()
    assert after.version != before.version
    assert after.version.endswith("-6")


def test_newline_unicode_backslash_and_longest_names(tmp_path: Path) -> None:
    names = ["a\nb.jpg", "写真 🐈.png", "back\\slash.jpg", "x" * 251 + ".png", "(#1).jpg"]
    for name in names:
        put(tmp_path / name, name.encode())
    source = FolderSource(tmp_path)
    assert {file.path: source.read(file.path, LIMIT) for file in source.list()} == {n: n.encode() for n in names}


def test_decomposed_names_are_listed_composed_and_readable_without_a_listing(tmp_path: Path) -> None:
    put(tmp_path / NFD / NFD, b"mac")
    assert listed(tmp_path) == {f"{NFC}/{NFC}": ""}
    assert FolderSource(tmp_path).read(f"{NFC}/{NFC}", LIMIT) == b"mac"


def test_of_two_spellings_the_composed_one_wins_and_the_other_is_named(tmp_path: Path) -> None:
    put(tmp_path / NFC, b"composed")
    put(tmp_path / NFD, b"decomposed")
    (winner, loser) = sorted(listed(tmp_path).items(), key=lambda item: item[1])
    assert winner == (NFC, "")
    assert loser[1] == "name_clash"
    assert FolderSource(tmp_path).read(NFC, LIMIT) == b"composed"
    assert reason(FolderSource(tmp_path), loser[0]) == "name_clash"


def test_names_that_are_not_utf8_are_listed_apart_with_a_reason(tmp_path: Path) -> None:
    for raw in (b"caf\xe9.jpg", b"caf\xe8.jpg", b"notes\xe9.txt"):
        Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + raw)).write_bytes(b"x")
    os.mkdir(os.fsencode(tmp_path) + b"/d\xff")
    put(tmp_path / os.fsdecode(b"d\xff") / "inner.jpg")
    names = listed(tmp_path)
    assert list(names.values()) == ["name_not_utf8"] * 3
    assert sum(name.startswith("caf\ufffd (#") and name.endswith(").jpg") for name in names) == 2
    assert {reason(FolderSource(tmp_path), name) for name in names} == {"name_not_utf8"}
    assert all(name.encode() for name in names)


def test_links(tmp_path: Path) -> None:
    root, outside = tmp_path / "pool", tmp_path / "outside"
    put(outside / "secret.jpg")
    put(root / "real.jpg", b"real")
    put(root / "sub/inner.jpg")
    put(root / ".store/object", b"annexed")
    links = {
        "ok.jpg": ("real.jpg", ""),
        "annex.jpg": (".store/object", ""),
        "out.jpg": ("../outside/secret.jpg", "link_outside"),
        "out_folder": ("../outside", "link_outside"),
        "etc.jpg": ("/etc/passwd", "link_outside"),
        "broken.jpg": ("nowhere", "link_broken"),
        "self.jpg": ("self.jpg", "link_loop"),
        "sub/up": ("..", "link_loop"),
        "twin": ("sub", "link_to_folder"),
    }
    for name, (target, _) in links.items():
        (root / name).symlink_to(target)
    expected = {"real.jpg": "", "sub/inner.jpg": ""} | {name: why for name, (_, why) in links.items()}
    assert listed(root) == expected
    source = FolderSource(root)
    assert source.read("ok.jpg", LIMIT) == b"real"
    assert source.read("annex.jpg", LIMIT) == b"annexed"
    for name, (_, why) in links.items():
        if why:
            assert reason(source, name) == why
    assert reason(source, "out_folder/secret.jpg") == "link_outside"


def test_a_root_that_is_a_link_itself_is_fine(tmp_path: Path) -> None:
    put(tmp_path / "real/a.jpg", b"a")
    (tmp_path / "link").symlink_to("real")
    source = FolderSource(tmp_path / "link")
    assert [source.read(file.path, LIMIT) for file in source.list()] == [b"a"]


def test_pipes_and_sockets_are_never_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(tmp_path / "pipe.jpg")
    monkeypatch.chdir(tmp_path)  # A socket's path must be short.
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("sock.jpg")
        assert listed(tmp_path) == {"pipe.jpg": "not_a_file", "sock.jpg": "not_a_file"}
        # With nobody at the other end, opening the pipe would block and time out.
        assert reason(FolderSource(tmp_path), "pipe.jpg") == "not_a_file"
        assert reason(FolderSource(tmp_path), "sock.jpg") == "not_a_file"


@pytest.mark.parametrize("path", ["../x.jpg", "/etc/passwd", "a/../../x", "", "a//b", ".git/config", "a\0b"])
def test_paths_outside_the_rules_are_refused(tmp_path: Path, path: str) -> None:
    assert reason(FolderSource(tmp_path), path) == "name_unsafe"


def test_size_limit_and_missing_file(tmp_path: Path) -> None:
    put(tmp_path / "a.jpg", b"12345")
    source = FolderSource(tmp_path)
    assert source.read("a.jpg", 5) == b"12345"
    assert reason(source, "a.jpg", 4) == "too_large"
    assert reason(source, "gone.jpg") == "missing"
    put(tmp_path / "empty.jpg", b"")
    assert source.read("empty.jpg", LIMIT) == b""


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(tmp_path / "a.jpg", b"12345")
    real_open = os.open

    def grow_then_open(*args: object, **kwargs: object) -> int:
        with path.open("ab") as file:
            file.write(b"6")
        return real_open(*args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "open", grow_then_open)
    assert reason(FolderSource(tmp_path), "a.jpg") == "changed_while_reading"


def test_a_closed_folder_is_named_and_the_rest_is_listed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Tests may run as root, to whom no folder is closed: the system's answer is put in its place.
    put(tmp_path / "closed/a.jpg")
    put(tmp_path / "open/b.jpg")
    real_scan = os.scandir

    def scan(path: Path) -> object:
        if Path(path).name == "closed":
            raise PermissionError(13, "Permission denied")
        return real_scan(path)

    monkeypatch.setattr(os, "scandir", scan)
    assert listed(tmp_path) == {"closed": "access_denied", "open/b.jpg": ""}


def test_folders_nested_deeper_than_the_call_stack(tmp_path: Path) -> None:
    here = os.open(tmp_path, os.O_RDONLY)
    try:
        for _ in range(1100):
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
        os.close(os.open("a.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    finally:
        os.close(here)
    names = listed(tmp_path)
    # Python's own removal of folders calls itself for each level.
    subprocess.run(["rm", "-rf", str(tmp_path / "d")], check=True)
    assert names == {f"{'d/' * 1100}a.jpg": ""}


@pytest.mark.parametrize("kind", ["missing", "file"])
def test_a_source_that_is_no_folder_is_named(tmp_path: Path, kind: str) -> None:
    root = tmp_path / "cats"
    if kind == "file":
        put(root)
    with pytest.raises(UserError, match=r"cats.*source"):
        FolderSource(root).list()
