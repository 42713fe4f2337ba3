"""Which images stand on which side, so that nothing that belongs together stands on two.

Images hang together that are near duplicates or share a group; what hangs together over any number of steps is a
component, and a component is never divided. Its side follows from the hash of its oldest member: of those that landed
first, the one with the smallest digest. So a component keeps its side whatever lands later, unless something joins it to
an older one: then the older one's side counts for both.
"""

import hashlib
from collections.abc import Iterable, Sequence

from alaas_pipeline.labels.training.rows import LeftOut, TrainingRow

_Link = tuple[str, str]


def split_of(member: str, validation_share: float) -> str:
    """Put a component on one side by the hash of its oldest member: the same on every machine."""
    position = int.from_bytes(hashlib.sha256(member.encode()).digest()[:8]) / 2**64
    return "val" if position < validation_share else "train"


def components(rows: Iterable[TrainingRow]) -> dict[str, str]:
    """Return the digest of each row -> the digest of its component's oldest member."""
    parent: dict[_Link, _Link] = {}

    def root(link: _Link) -> _Link:
        while (above := parent.setdefault(link, link)) != link:
            parent[link] = parent[above]
            link = parent[link]
        return link

    ordered = sorted(rows, key=lambda row: (row.landed, row.digest))
    for row in ordered:
        for link in _links(row):
            parent[root(link)] = root(("near", row.near))
    oldest: dict[_Link, str] = {}
    return {row.digest: oldest.setdefault(root(("near", row.near)), row.digest) for row in ordered}


def without_neighbours_of_tests(
    rows: Sequence[TrainingRow], component: dict[str, str]
) -> tuple[list[TrainingRow], list[LeftOut]]:
    """Take out the training images that hang together with an image of a test set, and say how they do.

    Args:
        rows: training and test images.
        component: what `components` returned for them.
    """
    tests = [row for row in sorted(rows, key=lambda row: (row.file, row.digest)) if row.test]
    barred: dict[str, str] = {}
    beside: dict[_Link, str] = {}
    for test in tests:
        barred.setdefault(component[test.digest], test.file)
        for link in _links(test):
            beside.setdefault(link, test.file)
    kept, left_out = [], []
    for row in rows:
        if row.test or component[row.digest] not in barred:
            kept.append(row)
            continue
        links = [link for link in _links(row) if link in beside]
        if links and links[0][0] == "near":
            reason = f"near duplicate of test image {beside[links[0]]}"
        elif links:
            reason = f"same group as a test image: {links[0][1]}, {beside[links[0]]}"
        else:
            reason = f"linked with test image {barred[component[row.digest]]} by near duplicates and groups in between"
        left_out.append(LeftOut(row.file, row.digest, reason))
    return kept, left_out


def _links(row: TrainingRow) -> list[_Link]:
    return [("near", row.near), *(("group", name) for name in row.groups)]
