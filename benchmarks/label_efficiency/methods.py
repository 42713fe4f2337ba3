"""The methods compared: ours through its public function, random draws, and the peers at their documented defaults.

A peer is asked through `peers.py`. Where a better setting than the default was published, it stands beside it.

- TypiClust (Hacohen et al., ICML 2022): the paper takes 20 neighbours.
- ProbCover (Yehuda et al., NeurIPS 2022): the paper's radius wants the number of classes, which a real pool does not tell, and
  finer steps than the library's 0.2.
- MaxHerding (Bae et al., ECCV 2024): the paper's kernel is exp(-d^2) on vectors of unit length.
- CoreSet (Sener and Savarese, ICLR 2018): k-center greedy.
- Lightly: the selection engine of LightlyStudio, diversity, and diversity with typicality over 20 neighbours.
- k-means: faiss, and the member nearest to each centre. In later rounds as many cells as there will be labels; cells with a label are
  passed over, as TypiClust does.
- Facility location: apricot.
- With labels, hence from the second round on: margin and BADGE (Ash et al., ICLR 2020), both after 10 labels drawn at random, and
  TypiClust for the first 20 labels, then margin (after Doucet et al., "Bridging Diversity and Uncertainty in Active Learning with
  Self-Supervised Pre-Training", 2024).
"""

import importlib
import time
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alaas_pipeline.engine import select
from benchmarks.label_efficiency.peers import Peers

SEEDS = 10
OURS, COVERAGE, RANDOM = "ours", "ours, without labels", "random"
Picker = Callable[[Sequence[str], NDArray[np.float32], int, Collection[str]], Sequence[str]]


@dataclass(frozen=True)
class Pool:
    """What a selection is made from.

    Attributes:
        vectors: Unit length, float32, in random order.
        file: The same as a .npy file, for processes.
        labels: Classes as numbers; only those of picks that were made are shown to any method.
        classes: How many classes the pool has; only a method that says so in its name is told.
    """

    vectors: NDArray[np.float32]
    file: Path
    labels: NDArray[np.intp]
    classes: int


@dataclass(frozen=True)
class Method:
    """One way to select.

    Attributes:
        name: As the tables show it.
        pick: Takes the pool, how many rows, the rows picked before, and a seed; returns rows, and the seconds it took.
        listed: Greedy, whatever the budget: a beginning of its answer is its answer for fewer, so all budgets at once are one question.
        labelled: Compared in rounds only: it uses the labels of earlier picks, or is there to be compared with what does.
        seeds: Scores are means over so many runs.
        peer: Counts among those that ours is compared with.
    """

    name: str
    pick: Callable[[Pool, int, list[int], int], tuple[list[int], float]]
    listed: bool = False
    labelled: bool = False
    seeds: int = 1
    peer: bool = True


def ours(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
    """Picks as a pool does by default: by coverage first, and adaptively once there are labels."""
    ids = [f"{row:06}" for row in range(len(pool.vectors))]
    begun = time.perf_counter()
    labels = {ids[row]: str(pool.labels[row]) for row in selected}
    made = select(ids, pool.vectors, k, strategy="adaptive", labels=labels)
    return [int(pick.id) for pick in made.representatives], time.perf_counter() - begun


def coverage(ids: Sequence[str], vectors: NDArray[np.float32], k: int, selected: Collection[str]) -> Sequence[str]:
    return [pick.id for pick in select(ids, vectors, k, selected=selected).representatives]


def of_function(name: str, function: Picker) -> Method:
    """Makes a method of a function of ids, vectors, how many, and the ids selected before, that returns ids."""

    def pick(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
        ids = [f"{row:06}" for row in range(len(pool.vectors))]
        begun = time.perf_counter()
        picked = function(ids, pool.vectors, k, {ids[row] for row in selected})
        seconds = time.perf_counter() - begun
        rows = [int(one) for one in picked]
        if len(rows) != k or len({*rows, *selected}) != k + len(selected):
            raise ValueError(f"{name} gave {len(rows)} picks, some perhaps twice or picked before, instead of {k}.")
        return rows, seconds

    return Method(name, pick, peer=False)


def named(place: str) -> Method:
    """Finds a method given as "module:function"."""
    module, _, function = place.partition(":")
    return of_function(function, getattr(importlib.import_module(module), function))


def drawn(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
    left = np.setdiff1d(np.arange(len(pool.vectors)), selected)
    return np.random.default_rng([seed, len(selected)]).choice(left, k, replace=False).tolist(), 0.0


def everything(peers: Peers) -> list[Method]:
    """Returns ours, random, then the peers."""

    def ask(
        environment: str, method: str, settings: dict[str, Any], pool: Pool, k: int, selected: list[int], seed: int
    ) -> tuple[list[int], float]:
        told = {name: pool.classes if value == "classes" else value for name, value in settings.items()}
        known = pool.labels[selected].tolist()
        asked = {"method": method, "k": k, "selected": selected, "labels": known, "settings": told}
        return peers.ask(environment, {**asked, "vectors": str(pool.file)})

    def peer(name: str, environment: str, method: str, listed: bool = False, **settings: Any) -> Method:
        return Method(name, partial(ask, environment, method, settings), listed=listed)

    typiclust = peer("TypiClust", "activeml", "typiclust")
    margin = peer("margin", "activeml", "margin")
    badge = peer("BADGE", "activeml", "badge")
    return [
        Method(OURS, ours, peer=False),
        replace(of_function(COVERAGE, coverage), labelled=True),
        Method(RANDOM, drawn, listed=True, seeds=SEEDS, peer=False),
        typiclust,
        peer("TypiClust, 20 neighbours", "activeml", "typiclust", n_neighbours=20),
        peer("ProbCover", "activeml", "probcover"),
        peer("ProbCover, told the classes", "activeml", "probcover", listed=True, n_classes="classes", step=0.02),
        peer("MaxHerding", "activeml", "maxherding", listed=True),
        peer("MaxHerding, gamma 1", "activeml", "maxherding", listed=True, gamma=1.0),
        peer("CoreSet", "activeml", "coreset", listed=True),
        peer("Lightly, diversity", "mundig", "lightly", listed=True),
        peer("Lightly, diversity and typicality", "mundig", "lightly", listed=True, typicality=20),
        peer("k-means, nearest", "faiss", "kmeans"),
        peer("facility location", "apricot", "facility_location", listed=True),
        peer("facility location, cosine", "apricot", "facility_location", listed=True, metric="cosine"),
        after(10, drawn, margin, "margin"),
        after(10, drawn, badge, "BADGE"),
        after(20, typiclust.pick, margin, "TypiClust, then margin"),
    ]


def after(first: int, cold: Callable[..., tuple[list[int], float]], then: Method, name: str) -> Method:
    """Starts with a method that needs no labels, and goes on with one that does once there are `first` labels."""

    def pick(pool: Pool, k: int, selected: list[int], seed: int) -> tuple[list[int], float]:
        return (then.pick if len(selected) >= first else cold)(pool, k, selected, seed)

    return Method(name, pick, labelled=True)
