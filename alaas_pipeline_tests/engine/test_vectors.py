from pathlib import Path

import numpy as np
import polars as pl
import pytest

from alaas_pipeline.engine.vectors import check_vectors, read_parts, write_part


def unit(rows: int, dim: int = 16) -> np.ndarray:
    values = np.random.default_rng(0).normal(size=(rows, dim))
    return values / np.linalg.norm(values, axis=1, keepdims=True)


def test_parts_come_back_in_order_and_within_half_precision(tmp_path: Path) -> None:
    vectors = unit(5)
    write_part(tmp_path / "new" / "b.parquet", list("abc"), vectors[:3].astype(np.float16))
    write_part(tmp_path / "new" / "a.parquet", list("de"), vectors[3:])
    digests, back = read_parts([tmp_path / "new" / "b.parquet", tmp_path / "new" / "a.parquet"])
    assert digests == list("abcde")
    assert (back.dtype, back.shape) == (np.float32, (5, 16))
    assert np.array_equal(back, vectors.astype(np.float16).astype(np.float32))
    assert pl.read_parquet_schema(tmp_path / "new" / "a.parquet") == {
        "digest": pl.String,
        "vector": pl.Array(pl.Float16, 16),
    }


def test_no_parts_and_empty_parts(tmp_path: Path) -> None:
    assert read_parts([])[1].shape == (0, 0)
    write_part(tmp_path / "e.parquet", [], np.empty((0, 16)))
    digests, back = read_parts([tmp_path / "e.parquet"])
    assert (digests, back.shape) == ([], (0, 16))


def test_parts_of_several_encoders_do_not_mix(tmp_path: Path) -> None:
    write_part(tmp_path / "a.parquet", ["a"], unit(1, 16))
    write_part(tmp_path / "b.parquet", ["b"], unit(1, 8))
    with pytest.raises(ValueError, match=r"several widths, \[8, 16\]"):
        read_parts([tmp_path / "a.parquet", tmp_path / "b.parquet"])


def test_a_failed_write_leaves_the_old_part_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.parquet"
    write_part(path, ["a"], unit(1))
    before = path.read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(pl.DataFrame, "write_parquet", full)
    with pytest.raises(OSError, match="No space"):
        write_part(path, ["b"], unit(1))
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.parquet"]


def test_rows_must_fit(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="2 digests"):
        write_part(tmp_path / "a.parquet", ["a", "b"], unit(3))


def test_good_vectors_have_no_problems() -> None:
    stored = unit(200, 1280).astype(np.float16).astype(np.float32)
    digests = [str(i) for i in range(200)]
    assert check_vectors(digests, stored, expected=digests) == []
    assert check_vectors([], np.empty((0, 0), np.float32), expected=[]) == []


def test_each_problem_is_named() -> None:
    vectors = unit(5)
    vectors[1] *= 1.01
    vectors[2, 3] = np.nan
    problems = check_vectors(["a", "long", "nan", "a", "extra"], vectors, expected=["a", "long", "nan", "gone"])
    text = "\n".join(problems)
    assert len(problems) == 5
    assert "missing a vector: gone" in text
    assert "not in the pool: extra" in text
    assert "more than once: a" in text
    assert "not finite: nan" in text
    assert "unit length: long" in text


def test_many_problems_are_counted_not_listed() -> None:
    (problem,) = check_vectors([], np.empty((0, 4)), expected=[f"d{i:03d}" for i in range(500)])
    assert problem == "500 digests are missing a vector: d000, d001, d002 and others."
    assert check_vectors(["a"], unit(2), expected=["a"]) == ["There are 1 digests but 2 vectors."]
