"""Answers for the peers, inside a virtual environment of theirs: one question a line on standard input, one answer a line back.

A question is {"method", "vectors": a .npy file, "k", "selected": rows, "labels": theirs or null, "settings": {...}}, an answer
{"picks": rows, "seconds": wall time of the selection} or {"error": text}. Nothing of this project is imported here, and peers only
where they are called.
"""

# pyright: reportMissingImports=false, reportOptionalSubscript=false

import contextlib
import functools
import json
import os
import sys
import time
import traceback
import warnings

import numpy as np


def typiclust(vectors, k, selected, labels, n_neighbours=None):
    from skactiveml.pool import TypiClust

    settings = {} if n_neighbours is None else {"k": n_neighbours}
    return TypiClust(random_state=0, **settings).query(vectors, _partly(vectors, selected), batch_size=k)


def probcover(vectors, k, selected, labels, n_classes=None, step=None):
    from skactiveml.pool import ProbCover

    # Without `n_classes` it counts the classes among the labels of earlier picks, where there are any.
    known = _partly(vectors, selected, labels)
    radii = None if step is None else np.arange(step, 2, step)
    return ProbCover(n_classes=n_classes, deltas=radii, random_state=0).query(vectors, known, batch_size=k)


def maxherding(vectors, k, selected, labels, gamma=None):
    from skactiveml.pool import MaxHerding

    settings = None if gamma is None else {"gamma": gamma}
    return MaxHerding(metric_dict=settings, random_state=0).query(vectors, _partly(vectors, selected), batch_size=k)


def coreset(vectors, k, selected, labels):
    from skactiveml.pool import CoreSet

    return CoreSet(random_state=0).query(vectors, _partly(vectors, selected), batch_size=k)


def margin(vectors, k, selected, labels):
    from skactiveml.pool import UncertaintySampling

    points, known, probe = _probe(vectors, selected, labels)
    strategy = UncertaintySampling(method="margin_sampling", random_state=0)
    return strategy.query(points, known, clf=probe, batch_size=k)


def badge(vectors, k, selected, labels):
    from skactiveml.pool import Badge

    points, known, probe = _probe(vectors, selected, labels)
    return Badge(random_state=0).query(points, known, clf=probe, batch_size=k)


def lightly(vectors, k, selected, labels, typicality=0):
    from lightly_mundig import Selection, Typicality

    selection = Selection()
    selection.add_diversifying_strategy(embeddings=vectors, strength=1.0)
    if typicality:
        selection.add_weighting_strategy(Typicality(vectors).calculate_typicality(typicality), 1.0)
    picks = selection.run_selection(list(selected), len(vectors), k + len(selected))
    return [row for row in picks if row not in set(selected)]


def facility_location(vectors, k, selected, labels, metric="euclidean"):
    from apricot import FacilityLocationSelection

    start = np.array(selected) if selected else None
    made = FacilityLocationSelection(k, metric=metric, initial_subset=start).fit(vectors.astype(np.float64))
    return [row for row in made.ranking.tolist() if row not in set(selected)]


def kmeans(vectors, k, selected, labels):
    """As many cells as there will be picks; the biggest without an earlier pick give the member nearest their centre."""
    import faiss

    cells = faiss.Kmeans(vectors.shape[1], k + len(selected))
    cells.train(vectors)
    own = cells.index.search(vectors, 1)[1][:, 0]
    sizes = np.bincount(own, minlength=k + len(selected))
    sizes[own[selected]] = 0
    taken = set(selected)
    picks = []
    for cell in np.argsort(-sizes, kind="stable")[:k]:
        distance = np.square(vectors - cells.centroids[cell]).sum(axis=1)
        near = np.argsort(distance, kind="stable")
        row = next(int(row) for row in near if int(row) not in taken)
        taken.add(row)
        picks.append(row)
    return picks


@functools.cache
def _warm(method, settings):
    """Imports and compiles before the clock starts; what becomes of 64 points says nothing."""
    with contextlib.suppress(Exception):
        points = np.random.default_rng(0).standard_normal((64, 8)).astype(np.float32)
        METHODS[method](points, 4, [0, 1], [0, 1], **json.loads(settings))


METHODS = {
    "typiclust": typiclust, "probcover": probcover, "maxherding": maxherding, "coreset": coreset, "margin": margin, "badge": badge,
    "lightly": lightly, "facility_location": facility_location, "kmeans": kmeans,
}  # fmt: skip


def _partly(vectors, selected, labels=None):
    known = np.full(len(vectors), np.nan)
    known[selected] = 0 if labels is None else labels
    return known


def _probe(vectors, selected, labels):
    """The classifier that scores are made with, on the same centred and scaled vectors."""
    from skactiveml.classifier import SklearnClassifier
    from sklearn.linear_model import LogisticRegression

    points = vectors - vectors.mean(axis=0)
    points /= np.sqrt(np.square(points).sum(axis=1).mean())
    probe = SklearnClassifier(LogisticRegression(C=10.0, max_iter=1000), classes=sorted(set(labels)), random_state=0)
    return points, _partly(vectors, selected, labels), probe


def answer(question):
    vectors = np.load(question["vectors"])
    call = METHODS[question["method"]]
    _warm(question["method"], json.dumps(question["settings"]))
    begun = time.perf_counter()
    picks = call(vectors, question["k"], question["selected"], question["labels"], **question["settings"])
    seconds = time.perf_counter() - begun
    return {"picks": [int(row) for row in picks], "seconds": seconds}


def main():
    # Libraries chat on standard output; answers leave by a copy of it.
    out = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    warnings.simplefilter("ignore")
    for line in sys.stdin:
        try:
            told = answer(json.loads(line))
        except Exception as error:
            traceback.print_exc()
            told = {"error": f"{type(error).__name__}: {error}"}
        out.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
