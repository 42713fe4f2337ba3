"""Compare ledger, platform and files of a pool; say what agrees, and mend what is safe to mend.

Comparing only reads. Mending changes the ledger alone: it adopts what is there, takes in what people changed on the platform, gives back
reservations of operations that died, and lets what is lost be made again. Nothing is sent, approved or billed by it.
"""

import logging
from collections.abc import Iterator

from alaas_pipeline.alaas.reconcile.finding import Finding, Plan
from alaas_pipeline.alaas.reconcile.local import compare_credits, compare_files, compare_losses
from alaas_pipeline.alaas.reconcile.remote import compare_rounds
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.avala.effects import AvalaEffects
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import losses

__all__ = ["Finding", "Plan", "apply", "close_losses", "compare", "without_losses"]

log = logging.getLogger(__name__)


def compare(service: PoolService, effects: AvalaEffects, settings: PoolSettings) -> Plan:
    """Return what agrees and what does not, for one pool. Nothing is changed.

    Args:
        service: the pool service.
        effects: of the pool's platform, with `look_only` set.
        settings: the pool.

    Raises:
        UserError: the platform cannot be asked.
    """
    return Plan(settings.key, tuple(_findings(service, effects, settings)))


def apply(service: PoolService, plan: Plan) -> list[str]:
    """Mend what is safe; return a line for each finding that was tried."""
    told = []
    for finding in plan.drift:
        if finding.mend is None:
            continue
        try:
            finding.mend()
        except UserError as error:
            told.append(f"{finding.subject}: could not be mended: {error}")
        else:
            told.append(f"{finding.subject}: mended ({finding.says})")
    return told


def without_losses(plan: Plan) -> Plan:
    """Return the plan without its lost commits."""
    return Plan(plan.pool, tuple(finding for finding in plan.findings if finding.kind != "loss"))


def close_losses(service: PoolService, plans: list[Plan]) -> bool:
    """Note lost commits as reconciled if nothing else disagrees in any pool; say whether that was so."""
    if any(finding.kind != "loss" for plan in plans for finding in plan.drift):
        return False
    with service.ledger.transaction() as tx:
        if not losses.unreconciled(tx):
            return False
        losses.reconciled(tx)
    return True


def _findings(service: PoolService, effects: AvalaEffects, settings: PoolSettings) -> Iterator[Finding]:
    yield from compare_losses(service)
    yield from compare_credits(service, settings.key)
    yield from compare_files(service, settings.key)
    yield from compare_rounds(service.ledger, effects, settings.key, settings.avala.owner)
