"""What was picked or labelled before: a list of rows, or a table of labels, each line checked against the vectors."""

import csv
import io
import re
from collections.abc import Callable
from pathlib import Path

from alaas_pipeline.errors import UserError
from alaas_pipeline.picking.vectors import Table

_HEADINGS = ("row", "id")


def read_selected(path: Path, table: Table) -> set[str]:
    """Read rows picked before, one a line, and return their ids.

    A line is a row number or an id. Where it could be both, of different rows, the first line must say which: `row` or `id`.

    Raises:
        UserError: the file cannot be read, or a line names no row; the message has the line.
    """
    lines = _text(path).split("\n")
    kind = lines[0].strip()
    find = _finder(path, table, kind if kind in _HEADINGS else "either")
    skip = kind in _HEADINGS
    return {
        table.ids[find(line.removesuffix("\r"), number)]
        for number, line in enumerate(lines, start=1)
        if line.strip() and not (skip and number == 1)
    }


def read_labels(path: Path, table: Table) -> dict[str, str]:
    """Read a CSV table with the columns `row` or `id`, and `label`, and return label by id.

    A row whose label is empty has none.

    Raises:
        UserError: the file cannot be read, a column is missing, a line names no row, or a row has two labels; the message has the line.
    """
    reader = csv.reader(io.StringIO(_text(path), newline=""), strict=True)
    found: dict[str, str] = {}
    lines: dict[str, int] = {}
    try:
        header = [name.strip() for name in next(reader, [])]
        kinds = [name for name in _HEADINGS if name in header]
        if len(kinds) != 1 or "label" not in header or len(set(header)) != len(header):
            raise UserError(f"{path}, line 1: the columns must be 'row' or 'id', and 'label'. They are: {header}.")
        find = _finder(path, table, kinds[0])
        for cells in reader:
            number = reader.line_num
            if not cells:
                continue
            if len(cells) != len(header):
                raise UserError(f"{path}, line {number}: {len(cells)} cells where the first line has {len(header)}.")
            cell, label = cells[header.index(kinds[0])], cells[header.index("label")].strip()
            name = table.ids[find(cell, number)]
            if not label:
                continue
            if found.setdefault(name, label) != label:
                raise UserError(
                    f"{path}, line {number}: {kinds[0]} {cell!r} is {label!r} here and {found[name]!r} in line "
                    f"{lines[name]}. Leave one."
                )
            lines.setdefault(name, number)
    except csv.Error as error:
        raise UserError(f"{path}, line {reader.line_num}: not readable as CSV ({error}). Mend that line.") from None
    return found


def _text(path: Path) -> str:
    if not path.is_file():
        raise UserError(f"There is no file {path}.")
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = path.read_bytes()[: error.start].count(b"\n") + 1
        raise UserError(f"{path}, line {line}: not UTF-8. Save the file as UTF-8.") from None


def _finder(path: Path, table: Table, kind: str) -> Callable[[str, int], int]:
    """Return what finds the row of a cell, given the number of its line."""
    rows = {name: row for row, name in enumerate(table.ids)}

    def find(cell: str, line: int) -> int:
        by_id = rows.get(cell, rows.get(cell.strip())) if kind != "row" else None
        number = cell.strip()
        by_row = int(number) if kind != "id" and re.fullmatch(r"[0-9]{1,15}", number) else None
        if by_row is not None and by_row >= len(table.ids):
            by_row = None
        if by_id is None and by_row is None:
            known = f"rows 0 to {len(table.ids) - 1:,}" if table.ids else "no rows"
            ids = f" and ids such as {table.ids[0]!r}" if table.own_ids and table.ids else ""
            raise UserError(f"{path}, line {line}: {number!r} is not in {table.path}, which has {known}{ids}.")
        if by_id is not None and by_row is not None and by_id != by_row:
            raise UserError(
                f"{path}, line {line}: {number!r} is row {by_row} and also the id of row {by_id} of {table.path}. "
                "Write 'row' or 'id' as the first line of the list."
            )
        return by_id if by_id is not None else by_row  # pyright: ignore[reportReturnType]

    return find
