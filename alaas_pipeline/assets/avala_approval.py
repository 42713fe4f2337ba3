"""The asset `avala_approval`: the one step that starts a bill, taken only on a yes to exactly this quote."""

import dagster as dg
from pydantic import Field

from alaas_pipeline.assets.common import asset_key, is_over, pool_asset, round_of, told_plainly
from alaas_pipeline.avala.steering import Action, steer
from alaas_pipeline.config import PoolSettings, SharedLimits
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import quotes
from alaas_pipeline.ledger.policy import apply_policy
from alaas_pipeline.resources import Avala, Pools

WAITING = "is_accepted"


class ApprovalConfig(dg.Config):
    """An answer typed into the Launchpad; left empty, the stored answer or the pool's policy decides."""

    accept_quote: str = Field(default="", description="The digest of the quote you accept; see the round's 'quote'.")
    accepted_by: str = Field(default="a person in the Dagster UI", description="Your name, kept with the decision.")
    action: Action = Field(
        default=Action.approve,
        description="Instead of approving: refuse the quote; pause, resume, cancel or archive the project; or retry a stopped round.",
    )


def build(settings: PoolSettings, limits: SharedLimits) -> dg.AssetsDefinition:
    """Make the asset for one pool; `limits` are those over all pools."""

    @pool_asset(
        settings,
        "avala_approval",
        after=["avala_project"],
        per_round=True,
        code_version="1",
        description=f"Starts the billable work of a round of {settings.name}, after a yes to its quote. It cannot be undone.",
        output_required=False,
        check_specs=[
            dg.AssetCheckSpec(
                WAITING,
                asset=asset_key(settings.key, "avala_approval"),
                description="A person or the policy has accepted the round's quote.",
            )
        ],
    )
    def avala_approval(context: dg.AssetExecutionContext, config: ApprovalConfig, pools: Pools, avala: Avala):
        with told_plainly():
            service = pools.service()
            current = round_of(context, service)
            if config.action is not Action.approve:
                told = steer(
                    service.ledger,
                    lambda: avala.connected(current.settings),
                    current.key,
                    config.action,
                    config.accepted_by,
                )
                context.log.info(told)
                with service.ledger.transaction() as tx:
                    yield _answered(current.key, quotes.decision(tx, current.key))
                return
            with service.ledger.transaction() as tx:
                if not current.reached("cloned") and not current.ended and current.state != "needs_person":
                    raise UserError(
                        f"Round {current.key} has no project to approve (state: {current.state}). Materialize its 'avala_project' first; nothing was sent."
                    )
                if config.accept_quote:
                    quotes.accept(tx, current.key, config.accept_quote, config.accepted_by)
                agreeing = [current.settings.approval, settings.approval]
                made, sentence = apply_policy(tx, current.key, agreeing, limits)
                quote = quotes.find(tx, current.key)
            if quote is None or (made is None and is_over(context, current)):
                yield _answered(current.key, made)
                return
            if made is None:
                context.log.info(sentence)
                context.log_event(
                    dg.AssetObservation(
                        asset_key(settings.key, "avala_approval"), partition=current.key, metadata={"waiting": sentence}
                    )
                )
                yield dg.AssetCheckResult(
                    check_name=WAITING, passed=False, severity=dg.AssetCheckSeverity.WARN,
                    metadata={"round": current.key, "waiting": sentence, "quote_digest": quote.digest, "at_most": quote.total},
                )  # fmt: skip
                return
            if made.decision == "refused" or is_over(context, current):
                yield _answered(current.key, made)
                return
            with avala.connected(current.settings) as effects:
                project = effects.approve(current.key)
        yield dg.MaterializeResult(
            metadata={
                "project_uid": project.uid, "status": project.status, "images": made.images, "at_most": quote.total,
                "quote_digest": quote.digest, "accepted_by": made.decided_by, "accepted_at": made.decided_at,
                "allowed_by": made.allowed_by or "",
            }
        )  # fmt: skip
        yield _answered(current.key, made)

    return avala_approval


def _answered(round_key: str, made: quotes.Decision | None) -> dg.AssetCheckResult:
    answer = {"decision": made.decision, "by": made.decided_by} if made else {"decision": "none"}
    return dg.AssetCheckResult(
        check_name=WAITING, passed=made is not None and made.decision == "accepted", severity=dg.AssetCheckSeverity.WARN,
        metadata={"round": round_key, **answer},
    )  # fmt: skip
