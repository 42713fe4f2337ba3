"""What a team knows of its images: the group that each belongs to (drive, camera, patient), and any other facts."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice
from typing import Any

from alaas_pipeline.ledger.database import Transaction

CHUNK = 20_000

# Made once: `json.dumps` makes an encoder for each call.
_as_json = json.JSONEncoder(sort_keys=True, ensure_ascii=False).encode


@dataclass(frozen=True)
class Facts:
    """What is known of the file at one path: its group, if it has one, and named values."""

    path: str
    group: str | None
    values: dict[str, Any]


def record(tx: Transaction, pool: str, facts: Iterable[Facts]) -> set[str]:
    """Write what is known of a pool's images now; what was known before and is not given any more is forgotten.

    Returns:
        The paths of which something is known now. Memory for these is all that many facts take.
    """
    paths: set[str] = set()
    remaining = iter(facts)
    while chunk := list(islice(remaining, CHUNK)):
        tx.insert(
            "image_facts",
            [
                {
                    "pool": pool,
                    "path": one.path,
                    "image_group": one.group,
                    "facts": _as_json(one.values),
                }
                for one in chunk
            ],
            replace_on="pool, path",
        )
        paths.update(one.path for one in chunk)
    gone = [path for path in tx.column("SELECT path FROM image_facts WHERE pool = ?", pool) if path not in paths]
    if gone:
        with tx.given([{"path": path} for path in gone]):
            tx.run("DELETE FROM image_facts WHERE pool = ? AND path IN (SELECT path FROM given)", pool)
    return paths


def of_pool(tx: Transaction, pool: str) -> dict[str, list[Facts]]:
    """Return digest -> facts of each path where these bytes stand or stood, in order of path."""
    found: dict[str, list[Facts]] = {}
    for row in tx.rows(
        "SELECT f.digest, a.path, a.image_group, a.facts FROM image_facts a JOIN image_files f ON f.pool = a.pool AND f.path = a.path "
        "WHERE a.pool = ? AND f.digest IS NOT NULL ORDER BY a.path",
        pool,
    ):
        found.setdefault(row["digest"], []).append(Facts(row["path"], row["image_group"], json.loads(row["facts"])))
    return found
