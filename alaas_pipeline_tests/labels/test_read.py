"""Exports: what is right lands, every fault is quarantined by itself, and hostile files stop."""

import hashlib
import itertools
from pathlib import Path
from typing import Any

import orjson
import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.read import read_export
from alaas_pipeline.labels.records import ExportContent
from alaas_pipeline_tests.labels.files import zipped

NUMBERS = itertools.count()


def item(key: str = "a.jpg", *labels: Any, status: Any = "completed", **more: Any) -> dict[str, Any]:
    annotations = [
        {"uid": f"n{next(NUMBERS)}", "type": "classification", "label": label, "attributes": {}} for label in labels
    ]
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


GOOD = document(
    item("a.jpg", "cat"),
    item("b.jpg", "dog", "cat", "dog"),
    item("c.jpg", status="refused", refusal_reason="image unusable"),
    item("d.jpg", status="pending"),
)


def read(tmp_path: Path, content: Any) -> ExportContent:
    return read_export(write(tmp_path, content))


@pytest.mark.parametrize("packed", [True, False])
def test_a_good_export_lands_whole(tmp_path: Path, packed: bool) -> None:
    raw = orjson.dumps(GOOD)
    path = write(tmp_path, zipped({"export.json": raw, "readme.txt": b"hi"}) if packed else raw)
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
    assert (content.schema, content.declared) == (["cat", "dog"], True)
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
    assert (content.schema, content.declared) == (["ant", "fox"], False)


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
    # Without its key the image would count as missing from the export.
    assert content.quarantined[1].record["key"] == "y"


def test_sizes_may_be_untold(tmp_path: Path) -> None:
    record = read(tmp_path, document(item("a", "cat", width=None, height=None))).records[0]
    assert (record.width, record.height) == (None, None)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (
            {"images": [], "categories": {}, "avk_CANARY": "avk_CANARY"},
            r"an object with \[redacted\] \(str\), categories \(dict\), images \(list of 0\)\)",
        ),
        ({}, "no fields"),
        ([], "a list of 0"),
        ([[]], "a list of 1"),
        ([{"key": "a", "labels": []}], r"a list of 1, the first an object with key \(str\), labels \(list of 0\)"),
        ({"results": [], "items": [{"key": "a", "annotations": []}]}, "not known"),
        (None, "a NoneType"),
        (document(item("a", "cat"), version=2), "not known"),
        (document(format="coco"), "not known"),
        (document(items={}), "not known"),
        (document(project=None, dataset=None), "not known"),
        (b"", "valid JSON"),
        (b"<html>", "valid JSON"),
        (b'{"a": NaN}', r"an object with a \(float\)"),
        (b"\xff", "valid JSON"),
        (b"[" * 200_000 + b"]" * 200_000, "valid JSON"),
        (b'{"a": ' + b"9" * 5_000 + b"}", r"an object with a \(float\)"),
        (orjson.dumps(GOOD)[:-1] + b', "items": []}', "top fields twice"),
    ],
)
def test_unknown_structures_stop_and_the_file_stays(tmp_path: Path, content: Any, told: str) -> None:
    path = write(tmp_path, content)
    before = path.read_bytes()
    with pytest.raises(UserError, match=told) as caught:
        read_export(path)
    assert path.name in str(caught.value)
    assert "CANARY" not in str(caught.value)
    assert caught.value.__context__ is None
    assert path.read_bytes() == before


def test_a_byte_order_mark_does_no_harm(tmp_path: Path) -> None:
    assert len(read(tmp_path, b"\xef\xbb\xbf" + orjson.dumps(GOOD)).records) == 4
