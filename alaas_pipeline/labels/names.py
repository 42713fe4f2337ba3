"""A pool's images by the names that files of labels call them."""

import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from alaas_pipeline.labels.frame import ImageSize
from alaas_pipeline.labels.records import BadRecordError

# The end of the names that rounds send images under (`avala.names.file_name`): 16 digits of the digest.
_SENT = re.compile(r"__([0-9a-f]{16})\.[a-z]+$")


class PoolNames(Mapping[str, ImageSize]):
    """Finds an image by a path in the source, or by the longest end of its name that fits one image alone; as a mapping it tells sizes.

    So it does by a name that a round sent it under, in this installation or in another one.
    Its keys are paths, of which those of one image have file names that differ. What they do not list is found all the same.

    Args:
        images: rows of the pool's distinct images.
        files: path, digest and reason of each file that stands in the source now.
    """

    def __init__(self, images: Sequence[Mapping[str, Any]], files: Sequence[Mapping[str, Any]]) -> None:
        self._images = {row["digest"]: row for row in images}
        self._reasons = {row["path"]: row["reason"] for row in files if row["digest"] is None}
        self._live = {row["path"]: row["digest"] for row in files if row["digest"] in self._images}
        # The first name of an image that moved; a file that stands there now goes before.
        self._paths = {row["image_id"]: row["digest"] for row in images} | self._live
        self._files: dict[str, list[str]] = {}
        for path in self._live:
            self._files.setdefault(_parts(path)[-1], []).append(path)
        self._present = set(self._live.values())
        self._by_digest = {digest[:16]: digest for digest in self._present}
        stems = {(digest, _parts(path)[-1].rpartition(".")[0]): path for path, digest in reversed(self._live.items())}
        self._keys = [path for (digest, _), path in stems.items() if self._size(digest)]

    def find(self, name: str) -> tuple[str, bool]:
        """Return the digest of the image of this name, and whether it is a guess: the file name agrees, and the folders do not.

        Raises:
            BadRecordError: there is none or more than one, or it cannot be used.
        """
        if name in self._reasons:
            raise BadRecordError(f"its image cannot be used: {self._reasons[name]}")
        digest, guessed = self._paths.get(name), False
        if digest is None and (sent := _SENT.search(name)):
            digest = self._by_digest.get(sent[1])
        if digest is None:
            digest, guessed = self._by_end(name)
        image = self._images[digest]
        if image["state"] != "accepted":
            raise BadRecordError(f"its image cannot be used: {image['reason']}")
        if digest not in self._present:
            raise BadRecordError("its image is no longer in the source")
        return digest, guessed

    def _by_end(self, name: str) -> tuple[str, bool]:
        said = _parts(name)
        shared = {path: _shared(said, _parts(path)) for path in self._files.get(said[-1], ())}
        if not shared:
            raise BadRecordError("no image of this name is in the pool")
        most = max(shared.values())
        best = [path for path, parts in shared.items() if parts == most]
        found = {self._live[path] for path in best}
        if len(found) > 1:
            raise BadRecordError(f"{len(found)} images of the pool fit its name; give the path in the source")
        return found.pop(), all(most < min(len(said), len(_parts(path))) for path in best)

    def __getitem__(self, name: str) -> ImageSize:
        """Return the size of the image of this name."""
        try:
            size = self._size(self.find(name)[0])
        except BadRecordError:
            size = None
        if size is None:
            raise KeyError(name)
        return size

    def __iter__(self) -> Iterator[str]:
        """Go through the keys."""
        return iter(self._keys)

    def __len__(self) -> int:
        """Count the keys."""
        return len(self._keys)

    def _size(self, digest: str) -> ImageSize | None:
        row = self._images[digest]
        sides = [row[name] for name in ("width", "height", "shown_width", "shown_height")]
        if row["state"] != "accepted" or None in sides:
            return None
        return ImageSize((sides[0], sides[1]), (sides[2], sides[3]), row["orientation"])


def _parts(path: str) -> list[str]:
    """Folders and file name, composed: file systems and tools write one name in several ways."""
    return unicodedata.normalize("NFC", path).split("/")


def _shared(one: Sequence[str], other: Sequence[str]) -> int:
    """How many parts two paths have in common, from the end."""
    pairs = enumerate(zip(reversed(one), reversed(other), strict=False))
    return next((place for place, (left, right) in pairs if left != right), min(len(one), len(other)))
