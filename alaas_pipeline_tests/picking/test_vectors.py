"""Files of vectors that people bring."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.picking.vectors import read_vectors
from alaas_pipeline_tests.engine.pools import noise


def refused(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        read_vectors(path)
    assert str(path) in str(caught.value)
    return str(caught.value)


def parquet(folder: Path, **columns: Any) -> Path:
    path = folder / "vectors.parquet"
    pl.DataFrame(columns).write_parquet(path)
    return path


@pytest.mark.parametrize("kind", ["<f2", "<f4", "<f8", ">f4"])
def test_npy_is_mapped_and_not_loaded(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "v.npy"
    np.save(path, noise(20, 5).astype(kind))
    table = read_vectors(path)
    assert isinstance(table.vectors, np.memmap)
    assert (table.vectors.dtype, table.vectors.shape, table.own_ids) == (np.dtype(kind), (20, 5), False)
    assert table.ids == [str(row) for row in range(20)]
    assert np.abs(table.vectors - noise(20, 5)).max() < 1e-3


def test_a_pickle_is_never_opened(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    (tmp_path / "bare.npy").write_bytes(pickle.dumps(Trap()))
    np.save(tmp_path / "inside.npy", np.array([[Trap()]], dtype=object), allow_pickle=True)
    for name in ("bare.npy", "inside.npy"):
        assert "pickles) are never opened" in refused(tmp_path / name)
    assert not (tmp_path / "sprung").exists()


def test_npy_files_that_are_none(tmp_path: Path) -> None:
    path = tmp_path / "v.npy"
    for array, told in (
        (np.arange(10).reshape(5, 2), "holds int64. Save the vectors as float16"),
        (np.ones((3, 2), complex), "holds complex128"),
        (np.ones(5), "has the shape (5,). Save one vector a row"),
        (np.ones((2, 2, 2)), "has the shape (2, 2, 2)"),
        (np.ones((4, 0)), "has the shape (4, 0)"),
    ):
        np.save(path, array)
        assert told in refused(path)
    np.save(path, noise(50))
    path.write_bytes(path.read_bytes()[:700])
    assert "not a whole .npy file" in refused(path)
    np.savez(tmp_path / "z.npz", noise(5))
    (tmp_path / "z.npz").rename(path)
    assert "not a whole .npy file" in refused(path)
    path.write_bytes(b"")
    assert "not a whole .npy file" in refused(path)
    assert "There is no file" in refused(tmp_path / "gone.npy")
    (tmp_path / "v.csv").write_text("1,2\n")
    assert "neither in .npy nor in .parquet" in refused(tmp_path / "v.csv")


@pytest.mark.parametrize(
    "kind", [pl.List(pl.Float32), pl.List(pl.Float64), pl.Array(pl.Float32, 5), pl.Array(pl.Float16, 5)]
)
def test_parquet_with_lists_or_arrays(tmp_path: Path, kind: Any) -> None:
    vectors = noise(20, 5)
    path = parquet(tmp_path, name=["x"] * 20, at=pl.Series(vectors.tolist(), dtype=pl.List(pl.Float32)).cast(kind))
    table = read_vectors(path)
    assert (table.ids[19], table.own_ids, table.vectors.shape) == ("19", False, (20, 5))
    assert np.abs(table.vectors - vectors).max() < 1e-3
    named = read_vectors(parquet(tmp_path, id=[f"犬{n}" for n in range(20)], at=vectors.tolist()))
    assert (named.ids[3], named.own_ids) == ("犬3", True)
    assert read_vectors(parquet(tmp_path, id=list(range(7, 27)), at=vectors.tolist())).ids[0] == "7"


def test_parquet_files_that_do_not_serve(tmp_path: Path) -> None:
    two = [[1.0, 2.0], [3.0, 4.0]]
    for columns, told in (
        ({"v": [[1.0, 2.0], [1.0], None]}, "column 'v': row 2 is without a vector"),
        (
            {"v": [[1.0, 2.0], [1.0], [1.0, 3.0], [1.0, 2.0, 3.0]]},
            "column 'v': rows 1, 3 are not as long as the others, 2 entries",
        ),
        ({"v": [[], []]}, "no column of vectors"),
        ({"v": pl.Series([[], []], dtype=pl.List(pl.Float32))}, "the vectors have no entries"),
        ({"v": [[1, 2], [3, 4]]}, "no column of vectors"),
        ({"v": two, "w": two}, "several columns of vectors (v, w)"),
        ({"v": two, "id": ["a", None]}, "row 1 is without an id"),
        ({"v": two, "id": ["a", "a"]}, "these ids come twice: a."),
        ({"v": two, "id": [0.5, 1.5]}, "the column 'id' holds Float64"),
    ):
        assert told in refused(parquet(tmp_path, **columns))
    path = tmp_path / "vectors.parquet"
    path.write_bytes(path.read_bytes()[:60])
    assert "not a whole Parquet file" in refused(path)


def test_a_missing_entry_becomes_nan(tmp_path: Path) -> None:
    vectors = read_vectors(parquet(tmp_path, v=[[1.0, 2.0], [None, 4.0]])).vectors
    assert np.isnan(vectors).tolist() == [[False, False], [True, False]]
