"""Keep in the ledger until when Avala wants to be left alone, so that a schedule comes back then and no run sleeps that long."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from alaas_pipeline.avala.errors import RateLimited
from alaas_pipeline.ledger import Ledger, rounds


@contextmanager
def heeding(ledger: Ledger, round_key: str) -> Iterator[None]:
    """Write down a long wait that the platform asks for while the round is worked on; the error goes on its way."""
    try:
        yield
    except RateLimited as error:
        until = datetime.now(UTC) + timedelta(seconds=error.retry_after)
        with ledger.transaction() as tx:
            rounds.stay_away(tx, round_key, until.isoformat(timespec="seconds").replace("+00:00", "Z"))
        raise
