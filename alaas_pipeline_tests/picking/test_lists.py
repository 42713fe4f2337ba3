"""Rows picked or labelled before, line by line."""

from pathlib import Path

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.picking.lists import read_labels, read_selected
from alaas_pipeline.picking.vectors import Table
from alaas_pipeline_tests.engine.pools import noise


def table(*ids: str) -> Table:
    names = list(ids) or [str(row) for row in range(12)]
    return Table(Path("v.parquet"), names, noise(len(names)), own_ids=bool(ids))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "lines"


@pytest.mark.parametrize("text", ["0\n11\n 3 \n", "\ufeff3\r\n\r\n0\r\n11", "row\n3\n11\n0\n3\n"])
def test_row_numbers(file: Path, text: str) -> None:
    file.write_bytes(text.encode())
    assert read_selected(file, table()) == {"0", "3", "11"}


def test_ids_or_row_numbers_of_a_table_that_has_ids(file: Path) -> None:
    file.write_text("cat\n2\nsnow leopard\n\u00e9\u2028x\n")
    assert read_selected(file, table("dog", "cat", "fox", "snow leopard", "\u00e9\u2028x")) == {
        "cat", "fox", "snow leopard", "\u00e9\u2028x",
    }  # fmt: skip


def test_what_could_be_both_has_to_be_said(file: Path) -> None:
    numbered = table("2", "1", "0", "seven")
    file.write_text("1\nseven\n2\n")
    with pytest.raises(
        UserError, match=r"lines, line 3: '2' is row 2 and also the id of row 0 of v.parquet. Write 'row' or 'id'"
    ):
        read_selected(file, numbered)
    file.write_text("id\n2\n")
    assert read_selected(file, numbered) == {"2"}
    file.write_text("row\n2\n")
    assert read_selected(file, numbered) == {"0"}


@pytest.mark.parametrize("line", ["12", "-1", "1.0", "cat", "9" * 5000, "\u0663"])
def test_a_line_that_names_no_row(file: Path, line: str) -> None:
    file.write_text(f"0\n\n{line}\n")
    with pytest.raises(UserError, match=r"lines, line 3: .* is not in v.parquet, which has rows 0 to 11\."):
        read_selected(file, table())


def test_a_file_that_is_missing_or_no_text(file: Path) -> None:
    with pytest.raises(UserError, match="There is no file"):
        read_selected(file, table())
    file.write_bytes(b"1\n2\n\xff\xfe\n")
    with pytest.raises(UserError, match="line 3: not UTF-8"):
        read_selected(file, table())


def test_labels_by_row_or_id(file: Path) -> None:
    file.write_text('label,row,by\n"tabby, old",3,Ada\n,4,Ada\nfox,11,\n"tabby, old",3,Bob\n\n')
    assert read_labels(file, table()) == {"3": "tabby, old", "11": "fox"}
    file.write_text('id,label\n2,two\n"a\nb",line\u2028end\n')
    assert read_labels(file, table("2", "1", "0", "a\nb")) == {"2": "two", "a\nb": "line\u2028end"}


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "line 1: the columns must be 'row' or 'id', and 'label'"),
        ("row,id,label\n", "line 1: the columns must be"),
        ("row,name\n", "line 1: the columns must be"),
        ("row,label\n1,a\n99,b\n", "line 3: '99' is not in v.parquet"),
        ("row,label\n1,a\n2\n", "line 3: 1 cells where the first line has 2"),
        ("row,label\n1,a\n2,b\n1,c\n", "line 4: row '1' is 'c' here and 'a' in line 2. Leave one."),
        ('row,label\n1,"a\n', "not readable as CSV"),
        ('row,label\n1,"a"b\n', "line 2: not readable as CSV"),
    ],
)
def test_labels_that_cannot_be_read(file: Path, text: str, told: str) -> None:
    file.write_text(text)
    with pytest.raises(UserError) as caught:
        read_labels(file, table())
    assert str(caught.value).startswith(f"{file}, line ")
    assert told in str(caught.value)
