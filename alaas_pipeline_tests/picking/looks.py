"""A folder of pictures, and an encoder without a net that counts what it is asked."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from alaas_pipeline_tests.engine.nasty import photo, saved


class Looks:
    """Sees eight pixels. Counts how often it was loaded and how many pictures it saw."""

    encoder_id = "looks-0"
    dim = 24

    def __init__(self, encoder_id: str = "looks-0") -> None:
        self.encoder_id = encoder_id
        self.loads: list[str] = []
        self.seen = 0

    def load(self, spec: str) -> "Looks":
        self.loads.append(spec)
        return self

    def encode(self, images: Sequence[Image.Image]) -> np.ndarray:
        self.seen += len(images)
        values = np.stack([np.asarray(image.resize((4, 2)), np.float32).reshape(-1) + 1 for image in images])
        return values / np.linalg.norm(values, axis=1, keepdims=True)


def picture(turn: int) -> bytes:
    return saved(photo(40, 30).rotate(37 * turn, fillcolor=(5 * turn, 255 - 9 * turn, 80)), "PNG")


def photographs(folder: Path, count: int) -> Path:
    """`count` different pictures, in the folder and in one below it."""
    (folder / "below").mkdir(parents=True)
    for number in range(count):
        place = folder / "below" if number % 2 else folder
        (place / f"photo {number:02d}.png").write_bytes(picture(number))
    return folder
