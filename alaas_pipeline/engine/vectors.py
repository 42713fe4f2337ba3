"""Vectors at rest: Parquet parts of half-precision unit vectors, written whole or not at all."""

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from alaas_pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

# A unit vector stored in half precision: each entry is off by at most 2**-11 of itself, so its length is too.
UNIT_TOLERANCE = 2e-3
_NAMED = 3


def write_part(path: Path, digests: list[str], vectors: "NDArray[np.floating]") -> None:
    """Writes one part as Parquet with columns `digest` (string) and `vector` (array of half floats).

    The file appears under its name only when it is complete and on disk.

    Args:
        path: The file to write; its folder is made, and a file that stands there is replaced.
        digests: One digest a row.
        vectors: Shape (rows, dim); stored as float16.

    Raises:
        ValueError: The rows of digests and vectors differ, or the vectors are not a table.
    """
    import polars as pl

    if vectors.ndim != 2 or len(digests) != len(vectors) or vectors.shape[1] == 0:
        raise ValueError(f"{len(digests)} digests do not fit vectors of shape {vectors.shape}.")
    dim = vectors.shape[1]
    flat = pl.Series("vector", np.ascontiguousarray(vectors, dtype=np.float16).reshape(-1), dtype=pl.Float16)
    frame = pl.DataFrame(
        {
            "digest": pl.Series("digest", digests, dtype=pl.String),
            "vector": flat.reshape((len(digests), dim)) if digests else flat.cast(pl.Array(pl.Float16, dim)),
        }
    )
    with whole_file(path) as file:
        frame.write_parquet(file)


def read_parts(parts: Sequence[Path | bytes]) -> tuple[list[str], "NDArray[np.float32]"]:
    """Reads parts back, one after the other.

    Args:
        parts: Files made by `write_part`, or what is in them, all of one width.

    Returns:
        The digests and the vectors, float32 of shape (rows, dim), in their order; no parts give
        an empty list and an array of shape (0, 0).

    Raises:
        ValueError: The parts are of several widths, hence of several encoders.
    """
    import polars as pl

    digests: list[str] = []
    blocks: list[NDArray[np.float32]] = []
    for part in parts:
        frame = pl.read_parquet(part, columns=["digest", "vector"])
        digests.extend(frame["digest"].to_list())
        dtype = frame.schema["vector"]
        width = dtype.size if isinstance(dtype, pl.Array) else 0
        flat = frame["vector"].reshape((-1,)).cast(pl.Float32).to_numpy()
        blocks.append(flat.reshape(len(frame), width))
    widths = {block.shape[1] for block in blocks}
    if len(widths) > 1:
        raise ValueError(f"The vectors have several widths, {sorted(widths)}: they come from several encoders.")
    return digests, np.concatenate(blocks) if blocks else np.empty((0, 0), np.float32)


def check_vectors(digests: Sequence[str], vectors: "NDArray[np.floating]", *, expected: Collection[str]) -> list[str]:
    """Compares stored vectors with the images that they should stand for.

    Args:
        digests: One digest a row.
        vectors: Shape (rows, dim).
        expected: The digests of the images that must have exactly one vector each.

    Returns:
        The problems as sentences, each naming a few digests; empty when all is well.
    """
    problems: list[str] = []
    if len(digests) != len(vectors):
        return [f"There are {len(digests):,} digests but {len(vectors):,} vectors."]
    counts = Counter(digests)
    wanted = set(expected)
    _note(problems, "missing a vector", [d for d in sorted(wanted) if d not in counts])
    _note(problems, "not in the pool", [d for d in sorted(counts) if d not in wanted])
    _note(problems, "there more than once", [d for d, n in sorted(counts.items()) if n > 1])
    if len(vectors):
        values = np.asarray(vectors, np.float32)
        finite = np.all(np.isfinite(values), axis=1)
        _note(problems, "not finite", [digests[i] for i in np.flatnonzero(~finite).tolist()])
        length = np.linalg.norm(np.where(finite[:, None], values, 0), axis=1)
        off = finite & (np.abs(length - 1) > UNIT_TOLERANCE)
        _note(problems, "not of unit length", [digests[i] for i in np.flatnonzero(off).tolist()])
    return problems


def _note(problems: list[str], what: str, digests: list[str]) -> None:
    if digests:
        named = ", ".join(digests[:_NAMED]) + (" and others" if len(digests) > _NAMED else "")
        subject = "1 digest is" if len(digests) == 1 else f"{len(digests):,} digests are"
        problems.append(f"{subject} {what}: {named}.")
