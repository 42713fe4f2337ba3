"""CSV: lines of an image are one record, and a fault names its line and column."""

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alaas_pipeline.errors import UserError
from alaas_pipeline.labels.given import read_given
from alaas_pipeline.labels.readers import csv_table
from alaas_pipeline_tests.builders import STEADY
from alaas_pipeline_tests.labels.files import sizes_of

SIZES = sizes_of("a.jpg", "cats/b.jpg")
BOXED = "image,label,xmin,ymin,xmax,ymax\n"


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_of_an_image_are_one_record(delimiter: str, end: str) -> None:
    lines = [
        "Label ; IMAGE;xmin;ymin;xmax;ymax",
        "cat;a.jpg;10;20;40;60",
        "",
        "dog; a.jpg ;0;0;1.5;2",
        "cat;cats/b.jpg;;;;",
    ]
    text = "\ufeff" + end.join(lines).replace(";", delimiter)
    sorting, schema = csv_table.read(text.encode(), SIZES)
    assert (sorting.quarantined, schema) == ([], None)
    a, b = sorting.records
    assert (a.key, a.outcome, a.labels, a.width, a.height) == ("a.jpg", "labelled", ["cat", "dog"], 100, 80)
    assert [one["box"] for one in a.annotations] == [[10, 20, 30, 40], [0, 0, 1.5, 2]]
    assert (b.key, b.labels, [one["kind"] for one in b.annotations]) == ("cats/b.jpg", ["cat"], ["classification"])


def test_quoted_cells_may_hold_anything_and_lines_are_counted_in_the_file() -> None:
    text = 'image,label\n"a,b.jpg","big ""cat"""\n"two\nlines.jpg",cat\nc.jpg,\n'
    sorting, _ = csv_table.read(text.encode(), None)
    assert [(one.key, one.labels) for one in sorting.records] == [("a,b.jpg", ['big "cat"'])]
    told = [one.reason for one in sorting.quarantined]
    assert told == ["line 3, column image: it has no usable key", "line 5, column label: it has no label"]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("a.jpg,", "line 2 has 2 columns, and line 1 names 6"),
        ("a.jpg,cat,1,2,3,4,5", "line 2 has 7 columns, and line 1 names 6"),
        ("a.jpg,,1,2,3,4", "line 2, column label: it has no label"),
        ("a.jpg,c\x07t,1,2,3,4", "line 2, column label: an annotation's label 'c\\x07t' is no name"),
        ("a.jpg,cat,1,2,,4", "line 2, column xmax: '' is no number of pixels"),
        ('a.jpg,cat,"1,5",2,3,4', "line 2, column xmin: '1,5' is no number of pixels"),
        ("a.jpg,cat,1,nan,3,4", "line 2, column ymin: 'nan' is no number of pixels"),
        ("a.jpg,cat,1,2,1e300,4", "line 2, column xmax: '1e300' is no number of pixels"),
        ("a.jpg,cat,3,2,3,4", "line 2, column xmax: 3 is not above xmin, which is 3"),
        ("a.jpg,cat,1,9,3,4", "line 2, column ymax: 4 is not above ymin, which is 9"),
        ("a.jpg,cat,200,2,300,4", "line 2: an annotation lies wholly outside its image (x 200, y 2, 100 wide, 2 high)"),
    ],
)
def test_a_fault_sets_its_image_aside_and_names_line_and_column(line: str, reason: str) -> None:
    sorting, _ = csv_table.read(f"{BOXED}{line}\na.jpg,dog,1,2,3,4\ncats/b.jpg,cat,,,,\n".encode(), SIZES)
    assert [record.key for record in sorting.records] == ["cats/b.jpg"]
    (one,) = sorting.quarantined
    assert (one.record["key"], one.reason) == ("a.jpg", reason)


@pytest.mark.parametrize("name", ["", "/etc/passwd", "../a.jpg", "C:\\a.jpg"])
def test_a_line_without_a_usable_image_is_set_aside_by_itself(name: str) -> None:
    sorting, _ = csv_table.read(f"image,label\n{name},cat\na.jpg,cat\n".encode(), SIZES)
    assert [record.key for record in sorting.records] == ["a.jpg"]
    assert [one.reason.split(":")[0] for one in sorting.quarantined] == ["line 2, column image"]


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (b"", "names no columns image and label in line 1, which is ''"),
        (b"file,class\na.jpg,cat\n", "names no columns image and label in line 1, which is 'file,class'"),
        (b"\nimage,label\n", "names no columns image and label in line 1"),
        (b"image,label,x_min\n", "has the unknown column 'x_min' in line 1; known are image, label, xmin"),
        (b"image,label,label\n", "has the column 'label' twice in line 1"),
        (b"image,label,xmin,ymin,xmax\n", "has no column 'ymax' in line 1; a box needs xmin, ymin, xmax, ymax"),
        (b'image,label\na.jpg,cat\n"b.jpg,dog\n', "is no sound table from line 3 on"),
        (b'image,label\na.jpg,"cat"s\n', "is no sound table from line 2 on"),
        (b"image,label\n" + b"a" * 200_000 + b",cat\n", "is no sound table from line 2 on"),
        (b"image,label\na.jpg,cat\n\xff.jpg,cat\n", "is no text in UTF-8 (line 3)"),
    ],
)
def test_a_file_that_is_no_such_table_stops_and_names_the_line(tmp_path: Path, text: bytes, fault: str) -> None:
    path = tmp_path / "labels.csv"
    path.write_bytes(text)
    with pytest.raises(UserError) as caught:
        read_given(path, SIZES)
    assert str(caught.value).startswith(f"{path} {fault}")
    assert "import it again" in str(caught.value)


# What a table may go wrong in, and anything at all behind a header.
PIECES = st.sampled_from(
    [
        "a.jpg",
        "cats/b.jpg",
        "cat",
        "",
        ",",
        ",",
        ";",
        '"',
        "\n",
        "\r\n",
        "1",
        "-1",
        "1e9",
        "nan",
        "\0",
        "é",
        " ",
        "../x",
    ]
)
BODIES = st.one_of(st.binary(max_size=60), st.lists(PIECES, max_size=30).map(lambda parts: "".join(parts).encode()))
HEADS = st.sampled_from([b"", b"image,label\n", BOXED.encode(), b"\xef\xbb\xbfimage;label\r\n", b"PK", b"[", b"{"])


@settings(STEADY, max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(head=HEADS, body=BODIES)
def test_no_bytes_lead_to_anything_but_records_or_one_plain_error(tmp_path: Path, head: bytes, body: bytes) -> None:
    path = tmp_path / "labels.bin"
    path.write_bytes(head + body)
    try:
        content = read_given(path, SIZES).content
    except UserError:
        return
    keys = [record.key for record in content.records]
    assert len(keys) == len(set(keys))
    assert all(record.labels for record in content.records)
    assert all(one.reason.startswith("line ") for one in content.quarantined)
