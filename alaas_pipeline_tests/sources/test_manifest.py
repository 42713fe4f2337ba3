"""A team's own list of its images: three forms, one meaning, and every mistake told with its line."""

import datetime as dt
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.sources.manifest import ManifestRow, read_manifest


def write(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def refusal(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        list(read_manifest(path))
    return str(caught.value)


def test_the_three_forms_say_the_same(tmp_path: Path) -> None:
    rows = [
        {"id": "a/ü.jpg", "group": " drive 1 ", "weather": "Regen, stark"},
        {"id": "b.jpg", "group": None, "weather": None},
        {"id": 'c "x".jpg', "group": "drive 2", "weather": "Sonne"},
    ]
    wanted = [
        ManifestRow("a/ü.jpg", "drive 1", {"weather": "Regen, stark"}),
        ManifestRow("b.jpg", None, {}),
        ManifestRow('c "x".jpg', "drive 2", {"weather": "Sonne"}),
    ]
    frame = pl.DataFrame(rows)
    frame.write_csv(tmp_path / "m.csv")
    frame.write_parquet(tmp_path / "m.PARQUET")
    frame.write_ndjson(tmp_path / "m.jsonl")
    for name in ("m.csv", "m.PARQUET", "m.jsonl"):
        assert list(read_manifest(tmp_path / name)) == wanted, name


def test_a_file_as_spreadsheets_save_it(tmp_path: Path) -> None:
    path = write(tmp_path / "m.csv", b'\xef\xbb\xbfid,group\r\nu\xcc\x88.jpg,1\r\n\r\n"two\nlines.jpg",\r\n')
    assert list(read_manifest(path)) == [ManifestRow("ü.jpg", "1", {}), ManifestRow("two\nlines.jpg", None, {})]


def test_facts_keep_their_kind_where_the_form_has_kinds(tmp_path: Path) -> None:
    write(
        tmp_path / "m.jsonl",
        '{"id": "a", "group": 7, "n": 2, "share": 0.5, "night": true, "none": null, "tags": ["x"]}\n',
    )
    assert list(read_manifest(tmp_path / "m.jsonl")) == [
        ManifestRow("a", "7", {"n": 2, "share": 0.5, "night": True, "tags": "['x']"})
    ]
    day = dt.date(2024, 5, 1)
    pl.DataFrame({"id": ["a"], "group": [7], "day": [day], "share": [float("nan")]}).write_parquet(
        tmp_path / "m.parquet"
    )
    (row,) = read_manifest(tmp_path / "m.parquet")
    assert row == ManifestRow("a", "7", {"day": "2024-05-01"})
    json.dumps(row.values)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("m.csv", "path,group\na,1\n", "has no column 'id'; its columns are: path, group. Name the column"),
        ("m.csv", "id;group\na;1\n", "has no column 'id'; its columns are: id;group"),
        ("m.csv", "", "its columns are: none"),
        ("m.csv", "id,x,x\na,1,2\n", "has the column 'x' twice. Give each"),
        ("m.csv", "id,group\na,1\nb\n", "line 3: it has 1 cells, the first line has 2. Put a cell"),
        ("m.csv", "id,group\na,1,2\n", "line 2: it has 3 cells"),
        ("m.csv", 'id,group\na,1\n"b,1\n', "line 3: it is broken (unexpected end of data). Mend"),
        ("m.csv", "id,group\na,1\nb,1\na,2\n", "line 4: the id 'a' stands twice. Keep one row"),
        ("m.csv", "id,group\na,1\n,1\n", "line 3: the id is empty. Write the path"),
        ("m.csv", b"id\n\xff\xfe\n", "is not in UTF-8. Save it"),
        ("m.jsonl", '{"id": "a"}\n\n{"id": "b"\n', "line 3: it is not valid JSON"),
        ("m.jsonl", '{"id": "a", "id": "b"}\n', "line 1: it is not valid JSON (a name stands twice in it)"),
        ("m.jsonl", '{"path": "a"}\n', "line 1: it is no object with an 'id'. Write the path"),
        ("m.jsonl", '{"id": "\\u00fc"}\n{"id": "\\ud83d"}\n', "line 2: it is not valid JSON"),
        ("m.jsonl", '["a"]\n', "line 1: it is no object with an 'id'"),
        ("m.jsonl", '{"id": 7}\n', "line 1: the id is no text"),
        ("m.jsonl", '{"id": "a"}\n{"id": "a"}\n', "line 2: the id 'a' stands twice"),
        ("m.parquet", "id,group\n", "is no whole Parquet file"),
    ],
)  # fmt: skip
def test_mistakes_are_told_with_file_line_and_remedy(tmp_path: Path, name: str, text: str | bytes, told: str) -> None:
    message = refusal(write(tmp_path / name, text))
    assert str(tmp_path / name) in message
    assert told in message


@pytest.mark.parametrize(
    ("frame", "told"),
    [
        ({"path": ["a"]}, "has no column 'id'; its columns are: path."),
        ({"id": ["a", "b", "a"]}, "row 3: the id 'a' stands twice."),
        ({"id": ["a", None]}, "row 2: the id is empty."),
        ({"id": [1]}, "row 1: the id is no text."),
    ],
)
def test_mistakes_in_parquet(tmp_path: Path, frame: dict[str, Any], told: str) -> None:
    pl.DataFrame(frame).write_parquet(tmp_path / "m.parquet")
    assert told in refusal(tmp_path / "m.parquet")


@pytest.mark.parametrize("suffix", ["csv", "parquet", "jsonl"])
def test_a_manifest_that_is_not_there(tmp_path: Path, suffix: str) -> None:
    assert f"{tmp_path}/m.{suffix} cannot be read" in refusal(tmp_path / f"m.{suffix}")
    assert "correct 'manifest' in pools.yaml" in refusal(tmp_path / f"m.{suffix}")


@pytest.mark.parametrize("write_rows", [pl.DataFrame.write_csv, pl.DataFrame.write_parquet, pl.DataFrame.write_ndjson])
def test_rows_come_before_the_file_is_at_its_end(tmp_path: Path, write_rows: Callable[..., None]) -> None:
    suffix = {"write_csv": "csv", "write_parquet": "parquet", "write_ndjson": "jsonl"}[write_rows.__name__]
    path = tmp_path / f"m.{suffix}"
    write_rows(pl.DataFrame({"id": [*(f"{number}.jpg" for number in range(25_000)), "0.jpg"]}), path)
    rows = read_manifest(path)
    assert next(rows).path == "0.jpg"
    with pytest.raises(UserError, match="stands twice"):
        list(rows)
