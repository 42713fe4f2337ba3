"""Pools of vectors with known truth."""

import numpy as np


def names(count: int) -> list[str]:
    return [f"image-{i:05d}" for i in range(count)]


def unit(values: np.ndarray) -> np.ndarray:
    return (values / np.linalg.norm(values, axis=1, keepdims=True)).astype(np.float32)


def noise(count: int, dim: int = 12, seed: int = 0) -> np.ndarray:
    return unit(np.random.default_rng(seed).normal(size=(count, dim)))


def long_tailed(seed: int, count: int = 1200, dim: int = 48, classes: int = 25) -> tuple[np.ndarray, np.ndarray]:
    """A mixture whose classes shrink by a power law, on a direction common to all, as image encoders give."""
    rng = np.random.default_rng(seed)
    share = 1 / np.arange(1, classes + 1) ** 1.3
    label = rng.choice(classes, count, p=share / share.sum())
    centre = rng.normal(size=(classes, dim))
    return unit(centre[label] + 0.7 * rng.normal(size=(count, dim)) + 4), label


def nearest_neighbour_score(vectors: np.ndarray, labels: np.ndarray, picked: np.ndarray) -> float:
    """Mean of per-class accuracies when every image takes the label of its nearest picked one."""
    centred = vectors - vectors.mean(axis=0)
    centred = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    guess = labels[picked][(centred @ centred[picked].T).argmax(axis=1)]
    return float(np.mean([(guess[labels == c] == c).mean() for c in np.unique(labels)]))
