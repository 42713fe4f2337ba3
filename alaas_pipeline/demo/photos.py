"""The demo's photographs: 2,624 solar cells of the ELPV data set, some with defects.

They come from the package `elpv-dataset` (https://github.com/zae-bayern/elpv-dataset; images CC BY-NC-SA 4.0, hence fetched and never
shipped). The pipeline sees only the pictures; the classes go to the sandbox's simulated annotators.
"""

import csv
import os
import shutil
from collections import Counter
from importlib import util
from pathlib import Path

from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home

FOLDER = "solar_cells"
_DEFECT = {0.0: "intact", 1 / 3: "possibly defective", 2 / 3: "probably defective", 1.0: "defective"}
_TYPE = {"mono": "monocrystalline", "poly": "polycrystalline"}


def prepare_photos(home: Home) -> Path:
    """Put the photographs and the true classes under `home`; return the file of classes.

    Raises:
        UserError: the package that holds them is not installed.
    """
    found = util.find_spec("elpv_dataset")
    if found is None or found.origin is None:
        raise UserError(
            "The demo's photographs are not installed. Run: pip install 'alaas-pipeline[demo]'  (or: make demo)"
        )
    data = Path(found.origin).parent / "data"
    folder, truth = home.demo / FOLDER, home.demo / "truth.csv"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for line in (data / "labels.csv").read_text(encoding="utf-8").splitlines():
        name, defect, kind = line.split()
        photo = folder / Path(name).name
        if not photo.exists():
            draft = photo.with_suffix(".part")
            shutil.copyfile(data / name, draft)
            draft.rename(photo)
        nearest = min(_DEFECT, key=lambda value: abs(value - float(defect)))
        rows.append((f"{FOLDER}/{photo.name}", f"{_TYPE[kind]}, {_DEFECT[nearest]}"))
    draft = truth.with_suffix(".part")
    with draft.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("file", "label"), *rows])
    os.replace(draft, truth)
    return truth


def class_counts(truth: Path) -> dict[str, int]:
    """Return how many photographs of each class there are: what a real pool never tells."""
    with truth.open(newline="", encoding="utf-8") as file:
        return dict(sorted(Counter(row["label"] for row in csv.DictReader(file)).items()))
