"""What a team knows of its images: the group that each belongs to (drive, camera, patient), and any other facts."""

import json
from dataclasses import dataclass
from typing import Any

from alaas_pipeline.ledger.database import Transaction


@dataclass(frozen=True)
class Facts:
    """What is known of the file at one path: its group, if it has one, and named values."""

    path: str
    group: str | None
    values: dict[str, Any]


def record(tx: Transaction, pool: str, facts: list[Facts]) -> None:
    """Write what is known of a pool's images now; what was known before and is not given any more is forgotten."""
    tx.run("DELETE FROM image_facts WHERE pool = ?", pool)
    tx.insert(
        "image_facts",
        [
            {
                "pool": pool,
                "path": one.path,
                "image_group": one.group,
                "facts": json.dumps(one.values, sort_keys=True, ensure_ascii=False),
            }
            for one in facts
        ],
    )


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
