"""Pages of a list: opaque cursors for most of the API, page numbers where Avala uses them."""

import base64
import json
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from typing import Any

from starlette.requests import Request

from alaas_pipeline.sandbox.errors import ApiError

MAX_LIMIT = 1000
Row = sqlite3.Row


def limit_of(request: Request, default: int) -> int:
    """The page size asked for; like Django REST framework, one that makes no sense is passed over."""
    text = request.query_params.get("limit", "")
    if text.isascii() and text.isdigit() and int(text[:9]) > 0:
        return min(int(text[:9]), MAX_LIMIT)
    return default


def shown_until(request: Request) -> float:
    """When the newest object was made that this read may show, seconds since the epoch.

    Infinity, unless a `stale` rule makes lists lag. Each call counts as one read for such rules.
    """
    lag = request.app.state.box.faults.lag(request.scope["path"])
    return time.time() - lag if lag else math.inf


def link(request: Request, **changes: str) -> str:
    """This request's absolute URL, as its Host header names it, with other query values."""
    return str(request.url.include_query_params(**changes))


def cursor_page(
    con: sqlite3.Connection,
    request: Request,
    columns: str,
    table: str,
    where: Sequence[str],
    values: Sequence[Any],
    show: Callable[[Row], dict[str, Any]],
    default_limit: int,
    orderings: Sequence[str] = ("created_at",),
) -> dict[str, Any]:
    """One page of ``{next, previous, results}``, newest first unless ``ordering`` says otherwise.

    The place is kept as a value of the ordering column and a sequence number, not as an offset: rows that
    come or go between two pages neither repeat nor hide others.

    Args:
        con: the open transaction.
        request: its query names ``limit``, ``cursor`` and ``ordering``.
        columns: what to select; must include ``seq``.
        table: table or join to select from, whose ordered table is called ``t``.
        where: conditions.
        values: their parameters.
        show: makes the JSON object of a row.
        default_limit: page size when none is asked for.
        orderings: columns that may order the list.

    Raises:
        ApiError: 404 for a cursor that this list never gave.
    """
    limit = limit_of(request, default_limit)
    asked = request.query_params.get("ordering", "")
    column = asked.removeprefix("-") if asked.removeprefix("-") in orderings else "created_at"
    descending = asked.startswith("-") or column != asked.removeprefix("-")
    place, backwards = _read_cursor(request.query_params.get("cursor"))
    conditions, parameters = [*where, "t.created_at <= ?"], [*values, shown_until(request)]
    down = descending != backwards
    if place is not None:
        conditions.append(f"(t.{column}, t.seq) {'<' if down else '>'} (?, ?)")
        parameters += place
    order = "DESC" if down else "ASC"
    sql = f"SELECT {columns}, t.{column} AS page_value FROM {table} WHERE {' AND '.join(conditions)}"
    sql += f" ORDER BY t.{column} {order}, t.seq {order} LIMIT ?"
    rows = con.execute(sql, [*parameters, limit + 1]).fetchall()
    more = len(rows) > limit
    rows = rows[:limit]
    if backwards:
        rows.reverse()
    after = bool(rows) and (more or backwards)
    before = bool(rows) and (more if backwards else place is not None)
    return {
        "next": link(request, cursor=_cursor(rows[-1], False)) if after else None,
        "previous": link(request, cursor=_cursor(rows[0], True)) if before else None,
        "results": [show(row) for row in rows],
    }


def numbered_page(
    request: Request, rows: Sequence[Row], show: Callable[[Row], dict[str, Any]], default_limit: int = 20
) -> dict[str, Any]:
    """One page of ``{count, next, previous, results}``; a ``cursor`` is passed over, as Avala does.

    Raises:
        ApiError: 404 for a page that does not exist.
    """
    limit = limit_of(request, default_limit)
    text = request.query_params.get("page", "1")
    pages = max(1, -(-len(rows) // limit))
    if not (text.isascii() and text.isdigit() and 1 <= int(text[:9]) <= pages):
        raise ApiError(404, {"detail": "Invalid page."})
    page = int(text)
    return {
        "count": len(rows),
        "next": link(request, page=str(page + 1)) if page < pages else None,
        "previous": link(request, page=str(page - 1)) if page > 1 else None,
        "results": [show(row) for row in rows[(page - 1) * limit : page * limit]],
    }


def _cursor(row: Row, backwards: bool) -> str:
    text = json.dumps([row["page_value"], row["seq"], int(backwards)])
    return base64.urlsafe_b64encode(text.encode()).decode()


def _read_cursor(text: str | None) -> tuple[list[Any] | None, bool]:
    if not text:
        return None, False
    try:
        value, seq, backwards = json.loads(base64.urlsafe_b64decode(text.encode()))
    except (ValueError, TypeError):
        raise ApiError(404, {"detail": "Invalid cursor"}) from None
    if not isinstance(value, str | float) or not isinstance(seq, int) or not abs(seq) < 2**63:
        raise ApiError(404, {"detail": "Invalid cursor"})
    return [value, seq], bool(backwards)
