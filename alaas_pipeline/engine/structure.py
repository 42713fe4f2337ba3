"""What selection needs to know of a pool alone: made once, kept in a file, extended by images that are added.

A kept structure is never trusted: every image is compared by its id and by a sum over the bytes of its vector. What agrees is used again,
what is new or has changed is projected on the axes that are there, what is gone is dropped. When more than a fifth of what the axes were
fitted to is gone, or a quarter has been added, all is made anew. So for the pool that it was made for, a kept structure is what making it
anew would give, to the last bit; an extended one differs from that by its axes, which know only the pool as it was.

Axes are fitted to at most 131,072 images, those whose ids hash lowest: means and variances over so many are as good as over all.
"""

import hashlib
import logging
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alaas_pipeline.engine import geometry
from alaas_pipeline.whole_file import whole_file

if TYPE_CHECKING:
    from numpy.typing import NDArray

log = logging.getLogger(__name__)

# To be raised whenever the same vectors would get other codes: files of an earlier format are not read.
FORMAT: Final = 1
GROWTH: Final = 1.25
_FITTED: Final = 131_072
_BLOCK: Final = 8_192
_SAVED: Final = ("names", "keys", "marks", "fitted", "mean", "projection", "codes", "unit")


@dataclass(frozen=True)
class Structure:
    """A pool as selection sees it, images in the order of their ids.

    Attributes:
        order: The caller's row of each image.
        names: Digest of all ids.
        keys: Hash of each id, uint64: what draws go by.
        marks: Sum over each vector's bytes, uint64: what tells whether it is still the same.
        fitted: How many images there were when the axes were fitted.
        axes: How vectors become points.
        space: The images as points.
        made: What was found out about these points, by name.
    """

    order: "NDArray[np.intp]"
    names: bytes
    keys: "NDArray[np.uint64]"
    marks: "NDArray[np.uint64]"
    fitted: int
    axes: geometry.Axes
    space: geometry.Geometry
    made: "dict[str, NDArray[Any]]" = field(default_factory=dict)

    @classmethod
    def of(cls, ids: Sequence[str], vectors: "NDArray[np.floating]", kept: "Structure | None" = None) -> "Structure":
        """Looks at a pool, and uses what is known of it already.

        Args:
            ids: One id a row, all different.
            vectors: Shape (images, dim), finite.
            kept: What was made of this pool, or of an earlier state of it, or of any other.

        Returns:
            The structure of this pool; one with the `made` of the kept one if nothing has changed.
        """
        # Code points sort as their UTF-8 bytes do.
        order = np.array(sorted(range(len(ids)), key=ids.__getitem__), np.intp)
        packed = [str(ids[row]).encode(errors="surrogatepass") for row in order.tolist()]
        lengths = np.fromiter(map(len, packed), np.int64, len(packed))
        names = hashlib.blake2b(lengths.tobytes() + b"".join(packed), digest_size=16).digest()
        known = kept is not None and kept.names == names
        keys = kept.keys if kept is not None and known else _keys(packed)
        marks = _marks(vectors)[order]
        if kept is not None and known and np.array_equal(marks, kept.marks):
            return replace(kept, order=order)
        if kept is not None and vectors.shape[1] == len(kept.axes.mean):
            place = np.searchsorted(kept_keys := np.sort(kept.keys), keys).clip(max=len(kept.keys) - 1)
            place = np.where(kept_keys[place] == keys, np.argsort(kept.keys, kind="stable")[place], -1)
            place[marks != kept.marks[place]] = -1
            same = np.flatnonzero(place >= 0)
            if len(same) * GROWTH >= kept.fitted and len(ids) <= kept.fitted * GROWTH:
                log.info("Of %s images %s are known already.", f"{len(ids):,}", f"{len(same):,}")
                new = np.flatnonzero(place < 0)
                added = geometry.coded(kept.axes.points(vectors, order[new]), kept.space.unit)
                codes, norms = kept.space.codes[place], kept.space.norms[place]
                codes[new], norms[new] = added.codes, added.norms
                space = geometry.Geometry(codes, norms, kept.space.unit)
                return cls(order, names, keys, marks, kept.fitted, kept.axes, space)
            log.info("What was kept of this pool is too old, and is made anew.")
        sample = order
        if len(order) > _FITTED:
            sample = order[np.sort(np.argsort(keys, kind="stable")[:_FITTED])]
        axes = geometry.axes_of(vectors, sample)
        return cls(order, names, keys, marks, len(ids), axes, geometry.coded(axes.points(vectors, order)))

    def once(self, name: str, make: "Callable[[], NDArray[np.float64]]") -> "NDArray[np.float64]":
        """Returns what was found out under this name, after making it where it is missing."""
        if name not in self.made:
            self.made[name] = make()
        return self.made[name]

    def reach(self, taken: "NDArray[np.intp]") -> "NDArray[np.float32]":
        """Returns each image's squared distance to the nearest of those taken; only those not known before are looked at."""
        reach = np.full(len(self.keys), np.inf, np.float32)
        new = taken
        if "reach" in self.made and np.isin(self.made["taken"], taken).all():
            reach, new = self.made["reach"].astype(np.float32), np.setdiff1d(taken, self.made["taken"])
        if len(new):
            reach = np.minimum(reach, self.space.nearest(np.arange(len(reach)), new)[1])
        self.made["taken"], self.made["reach"] = taken, reach
        return reach

    def note(self, taken: "NDArray[np.intp]", squared: "NDArray[np.float32]") -> None:
        """Adds to what `reach` knows: images taken now, and each image's squared distance to the nearest of them."""
        self.made["reach"] = np.minimum(self.made["reach"], squared)
        self.made["taken"] = np.concatenate([self.made["taken"], taken])

    def save(self, path: Path) -> None:
        """Writes the structure; the file appears under its name only when it is complete and on disk."""
        columns: dict[str, np.ndarray] = {
            "format": np.array(FORMAT),
            "names": np.frombuffer(self.names, np.uint8),
            "keys": self.keys,
            "marks": self.marks,
            "fitted": np.array(self.fitted),
            "mean": self.axes.mean,
            "projection": self.axes.projection,
            "codes": self.space.codes,
            "unit": np.array(self.space.unit),
        }
        with whole_file(path) as file:
            np.savez(file, **columns, **{f"made {name}": value for name, value in self.made.items()})  # pyright: ignore[reportArgumentType]

    @classmethod
    def load(cls, path: Path) -> "Structure | None":
        """Reads what `save` wrote; None where there is no file, or none that can be used."""
        try:
            with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
                if int(file["format"]) != FORMAT:
                    return None
                held = {name: file[name] for name in _SAVED}
                made = {name.removeprefix("made "): file[name] for name in file.files if name.startswith("made ")}
        except FileNotFoundError:
            return None
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
            log.warning("%s cannot be used and is made anew: %s", path, error)
            return None
        codes = held["codes"]
        return cls(
            order=np.arange(len(codes)),
            names=held["names"].tobytes(),
            keys=held["keys"],
            marks=held["marks"],
            fitted=int(held["fitted"]),
            axes=geometry.Axes(held["mean"], held["projection"]),
            space=geometry.Geometry(codes, geometry.squares(codes), float(held["unit"])),
            made=made,
        )


def _keys(packed: list[bytes]) -> "NDArray[np.uint64]":
    digests = b"".join([hashlib.blake2b(name, digest_size=8).digest() for name in packed])
    return np.frombuffer(digests, ">u8").astype(np.uint64)


def _marks(vectors: "NDArray[np.floating]") -> "NDArray[np.uint64]":
    """Sums each row's bytes, four at a time, each times an odd number of its own: rows that differ agree once in 2**64 times."""
    width = vectors.shape[1] * vectors.dtype.itemsize
    factors = np.random.default_rng(1).integers(1 << 63, size=-(-width // 4), dtype=np.uint64) * 2 + 1
    marks = np.empty(len(vectors), np.uint64)
    for part in geometry.blocks(len(vectors), _BLOCK):
        rows = np.ascontiguousarray(vectors[part]).view(np.uint8)
        if width % 4:
            rows = np.pad(rows, ((0, 0), (0, -width % 4)))
        marks[part] = rows.view(np.uint32).astype(np.uint64) @ factors
    return marks
