"""Small tables for the terminal, for Dagster's pages, and for the report."""

import re
import unicodedata
from collections.abc import Mapping, Sequence
from decimal import Decimal

CLASS_HEADERS = ("label", "images", "share")

_NUMBER = re.compile(r"[-+]?\s?[$€£¥]?\s?[\d, ]*\d(\.\d+)?\s?(%|[A-Z]{3}|[$€£¥])?")
_MARKDOWN = re.compile(r"([\\`*_\[\]<>|~#&])")


def show(cell: object) -> str:
    """Write one value for people: thousands separated, two decimals at most, nothing for None, one line."""
    if cell is None:
        return ""
    if isinstance(cell, bool):
        return "yes" if cell else "no"
    if isinstance(cell, int):
        return f"{cell:,}"
    if isinstance(cell, float | Decimal):
        text = f"{cell:,.2f}"
        return text.rstrip("0").rstrip(".") if "." in text else text
    return one_line(str(cell))


def one_line(text: str) -> str:
    """Replace line breaks by spaces, and drop what could steer a terminal or turn the reading direction."""
    spaced = "".join(" " if character.isspace() else character for character in text)
    kept = (c for c in spaced if unicodedata.category(c) not in ("Cc", "Cf", "Cs"))
    return "".join(kept)


def is_number(text: str) -> bool:
    """Tell whether a cell is a number, perhaps with a currency or a percent sign."""
    return bool(_NUMBER.fullmatch(text))


def text_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a table in plain text, numbers to the right.

    Args:
        headers: one heading per column.
        rows: values as `show` writes them; as many per row as there are headings.

    Raises:
        ValueError: a row has another number of cells.
    """
    cells, right = _prepare(headers, rows)
    widths = [max(map(_width, column)) for column in zip(*cells, strict=True)]
    lines = ["  ".join(_pad(*item) for item in zip(row, widths, right, strict=True)).rstrip() for row in cells]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(lines)


def markdown_table(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lay out a table in Markdown (the dialect of GitHub), numbers to the right.

    Args:
        headers: one heading per column.
        rows: values as `show` writes them, with everything that Markdown would read as markup escaped.

    Raises:
        ValueError: a row has another number of cells.
    """
    cells, right = _prepare(headers, rows)
    lines = [f"| {' | '.join(map(escape_markdown, row))} |" for row in cells]
    lines.insert(1, f"|{'|'.join(' ---: ' if r else ' --- ' for r in right)}|")
    return "\n".join(lines)


def escape_markdown(text: str) -> str:
    """Return text that Markdown shows as it stands."""
    return _MARKDOWN.sub(r"\\\1", one_line(text))


def class_rows(counts: Mapping[str, int]) -> list[tuple[str, int, str]]:
    """Return the rows under `CLASS_HEADERS`: most frequent class first, ties by name, share in percent."""
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [(label, count, f"{100 * count / total:.1f} %" if total else "") for label, count in ordered]


def _prepare(headers: Sequence[str], rows: Sequence[Sequence[object]]) -> tuple[list[list[str]], list[bool]]:
    """The cells as text, headings first, and which columns go to the right."""
    for row in rows:
        if len(row) != len(headers):
            raise ValueError(f"a row has {len(row)} cells, the table {len(headers)} columns: {list(row)!r}")
    body = [[show(cell) for cell in row] for row in rows]
    columns = [[text for text in column if text] for column in zip(*body, strict=True)] or [[] for _ in headers]
    right = [bool(column) and all(map(is_number, column)) for column in columns]
    return [[one_line(header) for header in headers], *body], right


def _width(text: str) -> int:
    """Columns a terminal gives to a text: two to wide East Asian characters, none to combining marks."""
    wide = sum(unicodedata.east_asian_width(c) in "WF" for c in text)
    return len(text) + wide - sum(unicodedata.combining(c) != 0 for c in text)


def _pad(text: str, width: int, right: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if right else text + space
