"""Vectors that people bring: a `.npy` file, or a column of a Parquet file."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from alaas_pipeline.errors import UserError

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

_NAMED = 5


@dataclass(frozen=True)
class Table:
    """Vectors and their names.

    Attributes:
        path: the file they came from.
        ids: one a row; the row numbers where the file has none.
        vectors: shape (rows, dim), any float type.
        own_ids: whether the file names its rows.
    """

    path: Path
    ids: list[str]
    vectors: "NDArray[np.floating]"
    own_ids: bool = False


def read_vectors(path: Path) -> Table:
    """Read vectors from a file.

    Args:
        path: `.npy` with a two-dimensional array of float16, float32 or float64, which is mapped and not loaded; or `.parquet` with one
            column of lists of floats, all equally long, and perhaps a column `id` of texts or whole numbers.

    Raises:
        UserError: it is not there, or is not such a file; the message names the rows concerned.
    """
    if not path.is_file():
        raise UserError(f"There is no file {path}. Give a .npy or .parquet file of vectors.")
    if path.suffix.lower() == ".npy":
        return _read_npy(path)
    if path.suffix.lower() == ".parquet":
        return _read_parquet(path)
    raise UserError(f"{path} ends neither in .npy nor in .parquet. Save the vectors as one of these.")


def _read_npy(path: Path) -> Table:
    try:
        # Maps plain numbers only: Python objects inside are refused before anything is unpickled.
        vectors: Any = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, SyntaxError):
        raise UserError(
            f"{path} is not a whole .npy file of plain numbers. Save it anew with numpy.save, as float16, float32 or float64; "
            "files that hold Python objects (pickles) are never opened."
        ) from None
    if vectors.dtype.kind != "f" or vectors.dtype.itemsize > 8:
        raise UserError(f"{path} holds {vectors.dtype}. Save the vectors as float16, float32 or float64.")
    if vectors.ndim != 2 or vectors.shape[1] == 0:
        raise UserError(f"{path} has the shape {vectors.shape}. Save one vector a row: (rows, dimensions).")
    return Table(path, [str(row) for row in range(len(vectors))], vectors)


def _read_parquet(path: Path) -> Table:
    import polars as pl
    from polars.exceptions import PolarsError

    try:
        frame = pl.read_parquet(path, hive_partitioning=False)
    except (PolarsError, OSError):
        raise UserError(f"{path} is not a whole Parquet file. Write it anew.") from None
    columns = [
        name
        for name, kind in frame.schema.items()
        if isinstance(kind, pl.List | pl.Array) and isinstance(kind.inner, pl.DataType) and kind.inner.is_float()
    ]
    if len(columns) != 1:
        found = f"several columns of vectors ({', '.join(columns)})" if columns else "no column of vectors"
        raise UserError(f"{path} has {found}. It needs exactly one column whose cells are lists of floats.")
    vectors = _matrix(path, frame[columns[0]])
    if "id" not in frame.columns:
        return Table(path, [str(row) for row in range(len(vectors))], vectors)
    return Table(path, _ids(path, frame["id"]), vectors, own_ids=True)


def _matrix(path: Path, column: "pl.Series") -> "NDArray[np.floating]":
    import polars as pl

    where = f"{path}, column {column.name!r}"
    empty = column.is_null().arg_true().to_list()
    if empty:
        raise UserError(f"{where}: {_rows(empty)} without a vector. Take them out, or embed them.")
    if isinstance(column.dtype, pl.List):
        lengths = column.list.len()
        width = int(lengths.mode().sort()[0]) if len(lengths) else 1
        other = (lengths != width).arg_true().to_list()
        if other:
            raise UserError(
                f"{where}: {_rows(other)} not as long as the others, {width:,} entries. Embed them all with one encoder."
            )
        if not width:
            raise UserError(f"{where}: the vectors have no entries. Write the file anew.")
        column = column.list.to_array(width)
    kind = column.dtype
    assert isinstance(kind, pl.Array)
    width = kind.size
    if not width:
        raise UserError(f"{where}: the vectors have no entries. Write the file anew.")
    # Entries that are missing become NaN here, and are refused as such, by row.
    return column.reshape((-1,)).to_numpy().reshape(len(column), width)


def _ids(path: Path, column: "pl.Series") -> list[str]:
    import polars as pl

    if column.dtype != pl.String and not column.dtype.is_integer():
        raise UserError(f"{path}: the column 'id' holds {column.dtype}. Make it text or whole numbers.")
    empty = column.is_null().arg_true().to_list()
    if empty:
        raise UserError(f"{path}: {_rows(empty)} without an id. Name every row, or take the column 'id' out.")
    ids: list[str] = column.cast(pl.String).to_list()
    twice = sorted({name for name, again in zip(ids, column.is_duplicated().to_list(), strict=True) if again})
    if twice:
        some = ", ".join(twice[:_NAMED]) + (" and others" if len(twice) > _NAMED else "")
        raise UserError(f"{path}: these ids come twice: {some}. Give every row its own.")
    return ids


def _rows(rows: list[int]) -> str:
    named = ", ".join(map(str, rows[:_NAMED])) + (f" and {len(rows) - _NAMED:,} more" if len(rows) > _NAMED else "")
    return f"row {named} is" if len(rows) == 1 else f"rows {named} are"
