"""Exports: what is right lands, every fault is quarantined by itself, and hostile files stop."""

import hashlib
import io
import stat
import zipfile
from pathlib import Path
from typing import Any

import orjson
import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.read import read_export
from alaas_pipeline.labels.records import ExportContent


def item(key: str = "a.jpg", *labels: Any, status: Any = "completed", **more: Any) -> dict[str, Any]:
    annotations = [{"uid": "n", "type": "classification", "label": label, "attributes": {}} for label in labels]
    base = {"item_uid": "i", "key": key, "width": 64, "height": 48, "status": status, "refusal_reason": None}
    return base | {"annotations": annotations} | more


def document(*items: Any, schema: Any = ("cat", "dog"), **more: Any) -> dict[str, Any]:
    return {
        "format": "avala-json-external",
        "version": 1,
        "export_uid": "e",
        "project": {"uid": "p", "name": "n"},
        "dataset": {"uid": "d", "name": "n", "slug": "s"},
        "label_schema": list(schema) if isinstance(schema, tuple) else schema,
        "items": list(items),
    } | more


def write(tmp_path: Path, content: Any, name: str = "export.json") -> Path:
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else orjson.dumps(content))
    return path


def write_zip(tmp_path: Path, entries: dict[str, bytes], name: str = "export.zip") -> Path:
    path = tmp_path / name
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for entry, content in entries.items():
            archive.writestr(entry, content)
    return path


GOOD = document(
    item("a.jpg", "cat"),
    item("b.jpg", "dog", "cat", "dog"),
    item("c.jpg", status="refused", refusal_reason="image unusable"),
    item("d.jpg", status="pending"),
)


def read(tmp_path: Path, content: Any) -> ExportContent:
    return read_export(write(tmp_path, content))


@pytest.mark.parametrize("zipped", [True, False])
def test_a_good_export_lands_whole(tmp_path: Path, zipped: bool) -> None:
    raw = orjson.dumps(GOOD)
    path = write_zip(tmp_path, {"export.json": raw, "readme.txt": b"hi"}) if zipped else write(tmp_path, raw)
    content = read_export(path)
    assert content.quarantined == []
    assert [(one.key, one.outcome, one.labels, one.reason) for one in content.records] == [
        ("a.jpg", "labelled", ["cat"], None),
        ("b.jpg", "labelled", ["dog", "cat"], None),
        ("c.jpg", "refused", [], "image unusable"),
        ("d.jpg", "pending", [], None),
    ]
    assert (content.records[0].width, content.records[0].height) == (64, 48)
    assert len(content.records[1].annotations) == 3
    assert content.schema == ["cat", "dog"]
    assert content.digest == hashlib.sha256(path.read_bytes()).hexdigest()


def test_the_schema_digest_depends_on_names_only(tmp_path: Path) -> None:
    one = read(tmp_path, document(item("a", "cat"), schema=("dog", "cat")))
    two = read(tmp_path, document(item("b", "dog"), schema=("cat", "dog")))
    other = read(tmp_path, document(item("b", "dog"), schema=("cat", "dog", "fox")))
    assert one.schema_digest == two.schema_digest != other.schema_digest
    assert one.digest != two.digest


@pytest.mark.parametrize("schema", [None, [], [1, 2], "cat"])
def test_without_a_declared_schema_the_labels_seen_are_it(tmp_path: Path, schema: Any) -> None:
    content = read(tmp_path, document(item("a", "fox"), item("b", "ant"), schema=schema))
    assert content.schema == ["ant", "fox"]


DEEP: Any = "x"
for _ in range(40):
    DEEP = [DEEP]

FAULTS: list[tuple[Any, str]] = [
    ("no object", "no object"),
    (None, "no object"),
    (item(""), "no usable key"),
    (item("k" * 2_000, "cat"), "no usable key"),
    (item(7, "cat"), "no usable key"),  # pyright: ignore[reportArgumentType]
    (item("x", "cat", status="done"), "status 'done' is unknown"),
    (item("x", "cat", status=None), "status 'None' is unknown"),
    (item("x", "cat", status=["completed"]), "is unknown"),
    (item("x"), "has no annotation"),
    (item("x", annotations=None), "has no annotation"),
    (item("x", annotations="cat"), "no list"),
    (item("x", annotations=["cat"]), "annotation is no object"),
    (item("x", 3), "label '3' is no name"),
    (item("x", None), "label 'None' is no name"),
    (item("x", " "), "is no name"),
    (item("x", ["cat"]), "is no name"),
    (item("x", "c" * 300), "is no name"),
    (item("x", "cow"), "not in the file's own label schema"),
    (item("x", "cat", "cow"), "not in the file's own label schema"),
    (item("x", "cat", width=-64), "width '-64'"),
    (item("x", "cat", height=0), "height '0'"),
    (item("x", "cat", width=1.5), "width '1.5'"),
    (item("x", "cat", width=True), "width 'True'"),
    (item("x", "cat", height="48"), "height '48'"),
    (item("x", "cat", status="refused"), "refused and annotated"),
    (item("x", annotations=[{"label": "cat", "x": 1, "y": 1, "width": -5, "height": 5}]), "not above zero"),
    (item("x", annotations=[{"label": "cat", "x": "1"}]), "x is no number"),
    (item("x", "cat", extra=DEEP), "nests deeper"),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS)
def test_each_fault_quarantines_its_own_record_only(tmp_path: Path, fault: Any, reason: str) -> None:
    content = read(tmp_path, document(item("good-1.jpg", "cat"), fault, item("good-2.jpg", "dog")))
    assert [one.key for one in content.records] == ["good-1.jpg", "good-2.jpg"]
    assert [reason in one.reason for one in content.quarantined] == [True]
    orjson.dumps(content.quarantined[0].record)


def test_all_faults_at_once_and_the_books_balance(tmp_path: Path) -> None:
    faults = [
        fault | {"key": f"{number}.jpg"} if isinstance(fault, dict) and fault["key"] == "x" else fault
        for number, (fault, _) in enumerate(FAULTS)
    ]
    content = read(tmp_path, document(item("good.jpg", "cat"), *faults))
    assert len(content.records) == 1
    assert len(content.quarantined) == len(faults)


def test_all_copies_of_a_key_are_quarantined(tmp_path: Path) -> None:
    content = read(tmp_path, document(item("a", "cat"), item("b", "cat"), item("a", "dog"), item("a", "cat")))
    assert [one.key for one in content.records] == ["b"]
    assert [one.record["key"] for one in content.quarantined] == ["a", "a", "a"]
    assert "3 times" in content.quarantined[0].reason


def test_samples_are_redacted_and_short(tmp_path: Path) -> None:
    bad = item("x", "cow", url="https://h.test/a?X-Amz-Signature=CANARY", note="avk_CANARY and sig=CANARY")
    content = read(tmp_path, document(bad, item("y", "cow", blob="z" * 10**6)))
    assert "CANARY" not in str(content.quarantined)
    assert len(str(content.quarantined[1].record)) < 2_100


def test_sizes_may_be_untold(tmp_path: Path) -> None:
    record = read(tmp_path, document(item("a", "cat", width=None, height=None))).records[0]
    assert (record.width, record.height) == (None, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ({"images": [], "annotations": [], "categories": []}, "annotations, categories, images"),
        ({}, "no fields"),
        ([], "a list"),
        (document(version=2), "not known"),
        (document(format="coco"), "not known"),
        (document(items={}), "not known"),
        (document(project=None), "not known"),
        (b"", "valid JSON"),
        (b"<html>", "valid JSON"),
        (b'{"a": NaN}', "valid JSON"),
        (b"[" * 200_000 + b"]" * 200_000, "valid JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", "valid JSON"),
    ],
)
def test_unknown_structures_stop_and_the_file_stays(tmp_path: Path, content: Any, told: str) -> None:
    path = write(tmp_path, content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=told) as caught:
        read_export(path)
    assert path.name in str(caught.value)
    assert path.read_bytes() == before


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"\xef\xbb\xbf" + orjson.dumps(GOOD)).records) == 4


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
    path = write_zip(tmp_path, {"export.json": orjson.dumps(GOOD), name: b"{}"})
    with pytest.raises(UserError, match="unsafe name"):
        read_export(path)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("second", ["export.json", "EXPORT.json"])
def test_names_that_occur_twice_are_refused(tmp_path: Path, second: str) -> None:
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("export.json", orjson.dumps(GOOD))
        archive.writestr(second, orjson.dumps(document()))
    with pytest.raises(UserError, match="twice"):
        read_export(path)


def test_symbolic_links_are_refused(tmp_path: Path) -> None:
    link = zipfile.ZipInfo("link.json")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    path = tmp_path / "export.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("export.json", orjson.dumps(GOOD))
        archive.writestr(link, "/etc/passwd")
    with pytest.raises(UserError, match="unsafe name or kind"):
        read_export(path)


def test_bombs_are_stopped_by_ratio_and_by_bytes(tmp_path: Path) -> None:
    bomb = write_zip(tmp_path, {"export.json": bytes(20_000_000)})
    assert bomb.stat().st_size < 30_000
    with pytest.raises(UserError, match="decompression bomb"):
        read_export(bomb)
    two = write_zip(tmp_path, {"a.json": orjson.dumps(GOOD), "b.json": orjson.dumps(GOOD)})
    with pytest.raises(UserError, match="more bytes than are allowed"):
        read_export(two, max_unpacked_bytes=len(orjson.dumps(GOOD)) + 5)


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
    good = write_zip(tmp_path, {"export.json": orjson.dumps(GOOD)}).read_bytes()
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
        archive.writestr("export.json", orjson.dumps(GOOD))
    with pytest.raises(UserError, match="no JSON file"):
        read_export(write_zip(tmp_path, {"inner.zip": inner.getvalue()}))


def test_two_exports_in_one_file_are_ambiguous(tmp_path: Path) -> None:
    raw = orjson.dumps(GOOD)
    with pytest.raises(UserError, match="2 exports"):
        read_export(write_zip(tmp_path, {"a.json": raw, "b.json": raw}))
    assert len(read_export(write_zip(tmp_path, {"a.json": raw, "other.json": b"{}"})).records) == 4
