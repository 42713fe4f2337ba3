"""Archives from outside: whatever their names, sizes and directory say, nothing hostile is unpacked."""

import io
import stat
import zipfile
from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.read import read_export
from alaas_pipeline_tests.labels.files import Image, avala, zipped

GOOD = avala([Image("a.jpg"), Image("b.jpg"), Image("c.jpg"), Image("d.jpg")])


def write(tmp_path: Path, content: bytes, name: str = "export.bin") -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def write_zip(tmp_path: Path, entries: dict[str, bytes]) -> Path:
    return write(tmp_path, zipped(entries), "export.zip")


@pytest.mark.parametrize(
    "name",
    [
        "../export.json",
        "/export.json",
        "a/../../export.json",
        "..\\export.json",
        "C:/export.json",
        "a\x01.json",
        ".",
    ],
)
def test_unsafe_names_in_a_zip_are_refused(tmp_path: Path, name: str) -> None:
    path = write_zip(tmp_path, {"export.json": GOOD, name: b"{}"})
    with pytest.raises(UserError, match="unsafe name"):
        read_export(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["export.json", "EXPORT.json"])
def test_names_that_occur_twice_are_refused(tmp_path: Path, second: str) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("export.json", GOOD)
        archive.writestr(second, avala([]))
    with pytest.raises(UserError, match="twice"):
        read_export(path)


def test_symbolic_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("export.json", GOOD)
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="unsafe name or kind"):
        read_export(path)


def test_bombs_are_stopped_by_ratio_and_by_bytes(tmp_path: Path) -> None:
    bomb = write_zip(tmp_path, {"export.json": bytes(20_000_000)})
    assert bomb.stat().st_size < 30_000
    with pytest.raises(UserError, match="decompression bomb"):
        read_export(bomb)
    two = write_zip(tmp_path, {"a.json": GOOD, "b.json": GOOD})
    with pytest.raises(UserError, match="more bytes than are allowed"):
        read_export(two, max_unpacked_bytes=len(GOOD) + 5)


def test_a_lying_directory_does_not_help_a_bomb(tmp_path: Path) -> None:
    path = write_zip(tmp_path, {"export.json": bytes(20_000_000)})
    raw = path.read_bytes()
    size, lie = (20_000_000).to_bytes(4, "little"), (100).to_bytes(4, "little")
    assert raw.count(size) == 2
    path.write_bytes(raw.replace(size, lie))
    with pytest.raises(UserError):
        read_export(path)


def test_caps_on_file_size_and_entries(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="larger than 10 bytes"):
        read_export(write(tmp_path, GOOD), max_file_bytes=10)
    many = write_zip(tmp_path, {f"{number}.txt": b"" for number in range(12)})
    with pytest.raises(UserError, match="more than 10 entries"):
        read_export(many, max_entries=10)


def test_damaged_encrypted_and_unsupported_archives_stop(tmp_path: Path) -> None:
    good = write_zip(tmp_path, {"export.json": GOOD}).read_bytes()
    flag, method = good.index(b"PK\x01\x02") + 8, good.index(b"PK\x01\x02") + 10
    encrypted, unsupported, wrong_crc = bytearray(good), bytearray(good), bytearray(good)
    encrypted[flag] |= 1
    unsupported[method] = 99
    wrong_crc[good.index(b"PK\x01\x02") + 16] ^= 1
    for number, bad in enumerate([good[: len(good) // 2], b"PK\x03\x04", encrypted, unsupported, wrong_crc]):
        with pytest.raises(UserError, match="ZIP"):
            read_export(write(tmp_path, bytes(bad), f"{number}.zip"))


def test_archives_within_archives_are_not_opened(tmp_path: Path) -> None:
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w") as archive:
        archive.writestr("export.json", GOOD)
    with pytest.raises(UserError, match="no JSON file"):
        read_export(write_zip(tmp_path, {"inner.zip": inner.getvalue()}))


def test_two_exports_in_one_file_are_ambiguous(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="2 exports"):
        read_export(write_zip(tmp_path, {"a.json": GOOD, "b.json": GOOD}))
    assert len(read_export(write_zip(tmp_path, {"a.json": GOOD, "other.json": b"{}"})).records) == 4
