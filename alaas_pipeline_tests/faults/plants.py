"""Mistakes that can be planted into a driven pipeline, to see that the sweep finds them."""

import os
from collections.abc import Callable
from typing import Any

from alaas_pipeline.avala.effects import project
from alaas_pipeline.ledger import Transaction, credits, journal
from alaas_pipeline.ledger.journal import Effect


def careless() -> None:
    """Forget a clone that was begun, and name it anew in each process: what was sent is not looked for, and is sent again."""
    intend, name = journal.intend, project.name_of

    def forgetful(tx: Transaction, pool: str, round_key: str, kind: str, *what: Any, **more: Any) -> Effect:
        if kind == "clone":
            tx.run("DELETE FROM effects WHERE round = ? AND kind = 'clone' AND state = 'intended'", round_key)
        return intend(tx, pool, round_key, kind, *what, **more)

    journal.intend = forgetful
    project.name_of = lambda tx, round_key: f"{name(tx, round_key)}-{os.getpid()}"


def hoarding() -> None:
    """Never give back what was reserved for work that was interrupted."""
    credits.void_open = lambda *_: 0


PLANTS: dict[str, Callable[[], None]] = {"careless": careless, "hoarding": hoarding}
