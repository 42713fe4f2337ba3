"""Compare what is on this machine with itself: lost commits, credits, files."""

from collections.abc import Callable, Iterator
from functools import partial

from filelock import FileLock, Timeout

from alaas_pipeline.alaas.embed import lost_parts
from alaas_pipeline.alaas.reconcile.finding import Finding
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.alaas.tariffs import embed_price
from alaas_pipeline.ledger import credits, images, imports, landing, losses, rounds


def compare_losses(service: PoolService) -> Iterator[Finding]:
    """Yield the commits that the ledger lost."""
    with service.ledger.transaction() as tx:
        lost = losses.unreconciled(tx)
    for loss in lost:
        what = "; ".join(loss.what) or "nothing that matters to rounds, effects, credits or money"
        yield Finding(
            "loss", f"commits {loss.first_commit} to {loss.last_commit}",
            f"the ledger was damaged or restored from an older copy (found {loss.found_at}). It is closed with --apply once nothing else "
            f"disagrees in any pool. Lost: {what}",
        )  # fmt: skip


def compare_credits(service: PoolService, pool: str) -> Iterator[Finding]:
    """Yield books that do not balance, and reservations whose operation is dead."""
    with service.ledger.transaction() as tx:
        problems, left = credits.broken(tx, pool), credits.open_reservations(tx, pool)
    for problem in problems:
        yield Finding("credits", pool, f"{problem}. Restore the ledger from a copy: alaas-pipeline restore FILE")
    for operation, amount in left:
        lock = f"{pool}.embed.lock" if operation.startswith("embed:") else f"{operation.split(':')[1]}.select.lock"
        if _free(service, lock):
            says = f"{amount:,} credits are reserved for '{operation}', which nobody works on; they go back"
            yield Finding("credits", pool, says, partial(_void, service, pool, operation))


def compare_files(service: PoolService, pool: str) -> Iterator[Finding]:
    """Yield files that the ledger names and that are missing or damaged."""
    for part in lost_parts(service.ledger, service.store, pool):
        says = f"the vectors in {part} are missing or damaged; they are refunded, and the next 'embeddings' makes them again"
        yield Finding("files", pool, says, _forget(service, pool, part))
    with service.ledger.transaction() as tx:
        landed = [*rounds.of_pool(tx, pool), *imports.of_pool(tx, pool)]
        files = [(one.key, file) for one in landed for file in landing.files(tx, one.key)]
    for key, file in files:
        if not service.store.exists(file):
            yield Finding(
                "files",
                key,
                f"the landed file {file} is missing; its labels stand in the ledger. Restore it from a copy",
            )


def _free(service: PoolService, name: str) -> bool:
    try:
        with FileLock(service.home.locks / name, timeout=0):
            return True
    except Timeout:
        return False


def _void(service: PoolService, pool: str, operation: str) -> None:
    with service.ledger.transaction() as tx:
        credits.void_open(tx, pool, operation, "reconciled: nobody works on it")


def _forget(service: PoolService, pool: str, part: str) -> Callable[[], None]:
    def mend() -> None:
        with service.ledger.transaction() as tx:
            for operation, count in images.forget_part(tx, pool, part).items():
                if operation:
                    credits.refund(tx, pool, operation, embed_price(count), f"{count} vectors of {part} were lost")

    return mend
