from collections.abc import Callable
from decimal import Decimal

import pytest

from alaas_pipeline.report.tables import class_rows, markdown_table, show, text_table


def test_text_table_puts_numbers_to_the_right() -> None:
    table = text_table(
        ["round", "picked", "money", "state"],
        [["r0001", 40, "2.40 USD", "landed"], ["r0002", 1200, "12 USD", None], ["r0010", None, "", "open"]],
    )
    assert table.splitlines() == [
        "round  picked     money  state",
        "-----  ------  --------  ------",
        "r0001      40  2.40 USD  landed",
        "r0002   1,200    12 USD",
        "r0010                    open",
    ]


def test_wide_and_combining_characters_keep_the_columns() -> None:
    lines = text_table(["label", "n"], [["猫", 1], ["cafe\u0301", 22]]).splitlines()
    assert lines[2:] == ["猫      1", "cafe\u0301   22"]


def test_a_cell_cannot_steer_the_terminal_or_break_the_line() -> None:
    table = text_table(["a\nb"], [["\x1b[31mred\x07\nnext\u202eevil\ud800"]])
    assert table.splitlines() == ["a b", "---------------", "[31mred nextevil"[:15] + "l"] or "\x1b" not in table
    assert len(table.splitlines()) == 3
    assert not set("\x1b\x07\u202e\ud800") & set(table)


def test_markdown_is_escaped_and_aligned() -> None:
    table = markdown_table(["label", "images"], [["a|b *c* <img> [x](y)\nz", 3]])
    assert table.splitlines() == [
        "| label | images |",
        "| --- | ---: |",
        r"| a\|b \*c\* \<img\> \[x\](y) z | 3 |",
    ]


@pytest.mark.parametrize("table", [text_table, markdown_table])
def test_no_rows_and_wrong_rows(table: Callable[..., str]) -> None:
    assert len(table(["a", "b"], []).splitlines()) == 2
    with pytest.raises(ValueError, match="2 columns"):
        table(["a", "b"], [["only one"]])


@pytest.mark.parametrize(
    ("cell", "text"),
    [
        (None, ""),
        (True, "yes"),
        (1234567, "1,234,567"),
        (2.0, "2"),
        (0.456, "0.46"),
        (Decimal("1000.10"), "1,000.1"),
    ],
)
def test_show(cell: object, text: str) -> None:
    assert show(cell) == text


def test_class_rows_are_ordered_with_shares() -> None:
    assert class_rows({"b": 1, "c": 2, "a": 1}) == [
        ("c", 2, "50.0 %"),
        ("a", 1, "25.0 %"),
        ("b", 1, "25.0 %"),
    ]
    assert class_rows({"a": 0}) == [("a", 0, "")]
    assert class_rows({}) == []
