"""The job by which a person steers a round from the Launchpad or CI: the same words as on the command line."""

import dagster as dg
from pydantic import Field

from alaas_pipeline.assets.common import rounds_of, told_plainly
from alaas_pipeline.automation.jobs import job_name
from alaas_pipeline.avala.steering import Action, steer
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.ledger import rounds
from alaas_pipeline.resources import Avala, Pools


class SteerConfig(dg.Config):
    """What to do with the round that is the run's partition."""

    action: Action = Field(
        description="approve, refuse, pause, resume, cancel, archive, retry, accept_labels or refuse_labels."
    )
    quote: str = Field(default="", description="For approve: the digest of the quote you accept.")
    version: int | None = Field(
        default=None, description="For accept_labels and refuse_labels: the version; the one that waits when left out."
    )
    by: str = Field(default="a person in the Dagster UI", description="Your name, kept with the decision.")


@dg.op
def steer_round(context: dg.OpExecutionContext, config: SteerConfig, pools: Pools, avala: Avala) -> None:
    """Do what a person says about a round."""
    with told_plainly():
        service = pools.service()
        with service.ledger.transaction() as tx:
            current = rounds.get(tx, context.partition_key)
        told = steer(
            service.ledger,
            lambda: avala.connected(current.settings),
            current.key,
            config.action,
            config.by,
            config.quote,
            config.version,
        )
    context.log.info(told)


def steer_job(settings: PoolSettings) -> dg.JobDefinition:
    """Return the job of one pool; its partition is the round."""

    @dg.job(
        name=job_name(settings.key, "steer_round"),
        partitions_def=rounds_of(settings.key),
        description=f"{settings.name}: approve, refuse, pause, resume, cancel, archive or retry a round; accept or refuse its labels.",
        tags={"alaas/pool": settings.key},
    )
    def steering() -> None:
        steer_round()

    return steering
