"""The largest images that are accepted, in the modes that take the most memory: `large.py FOLDER` writes them."""

import sys
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

SIDE = 8000
# 48 million pixels: what WebP and AVIF may have.
CANVAS = 6928


def write(folder: Path) -> int:
    """Write them; returns how many there are."""
    folder.mkdir(parents=True)
    quick: dict[str, Any]
    quick, turn = {"compress_level": 1}, Image.Exif()
    turn[0x0112] = 6
    ramp = np.add.outer(np.arange(SIDE), np.arange(SIDE))
    made: list[tuple[str, str, int, dict[str, Any]]] = [
        ("rgba.png", "RGBA", SIDE, quick),
        ("turned.png", "RGBA", SIDE, quick | {"exif": turn}),
        ("shades.png", "LA", SIDE, quick),
        ("palette.png", "P", SIDE, quick | {"transparency": 3}),
        ("plain.jpg", "RGB", SIDE, {"exif": turn}),
        ("scans.jpg", "CMYK", SIDE, {"progressive": True, "subsampling": 0}),
        ("plain.bmp", "RGB", SIDE, {}),
        ("plain.gif", "L", SIDE, {}),
        ("alpha.tif", "RGBA", SIDE, {"compression": "tiff_adobe_deflate"}),
        ("alpha.webp", "RGBA", CANVAS, {"method": 0}),
        ("alpha.avif", "RGBA", CANVAS, {"speed": 10}),
    ]
    for name, mode, side, options in made:
        Image.new(mode, (side, side), 3).save(folder / name, **options)
    for name, kind in (("words.png", np.uint16), ("words.tif", np.int32), ("floats.tif", np.float32)):
        options: dict[str, Any] = quick if name.endswith("png") else {"compression": "tiff_adobe_deflate"}
        Image.fromarray((ramp % 4093).astype(kind)).save(folder / name, **options)
    frames = [Image.new("RGB", (CANVAS, CANVAS), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "frames.webp", save_all=True, append_images=frames[1:], method=0)
    return len(made) + 4


if __name__ == "__main__":
    write(Path(sys.argv[1]))
