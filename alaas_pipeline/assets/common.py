"""What all assets of a pool share: names, partitions, and how a mistake is told."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import dagster as dg

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import rounds
from alaas_pipeline.ledger.rounds import Round

OWNERS = ["team:labelling"]


def rounds_of(pool: str) -> dg.DynamicPartitionsDefinition:
    """The pool's rounds as Dagster partitions; their truth is the ledger."""
    return dg.DynamicPartitionsDefinition(name=f"rounds.{pool}")


def asset_key(pool: str, stage: str) -> dg.AssetKey:
    """Return the key of one stage of a pool."""
    return dg.AssetKey([pool, stage])


def pool_asset(
    settings: PoolSettings,
    name: str,
    *,
    after: Sequence[str] = (),
    per_round: bool = False,
    kinds: Sequence[str] = (),
    code_version: str,
    description: str,
    stored: dg.TableSchema | None = None,
    output_required: bool = True,
    check_specs: Sequence[dg.AssetCheckSpec] = (),
) -> Callable[[Callable[..., Any]], dg.AssetsDefinition]:
    """Decorate the function that makes one stage of a pool.

    Args:
        settings: the pool.
        name: the stage, by the noun of what is stored.
        after: the stages it builds on.
        per_round: whether it is made once for each round.
        kinds: what it works with, for the UI.
        code_version: raised when the same inputs would give another result.
        description: one sentence for the UI.
        stored: the columns of what is stored.
        output_required: False when a run may end green with nothing stored.
        check_specs: checks that the function itself yields.
    """
    return dg.asset(
        key=asset_key(settings.key, name),
        deps=[asset_key(settings.key, other) for other in after],
        group_name=settings.key,
        owners=OWNERS,
        kinds={"python", *kinds},
        partitions_def=rounds_of(settings.key) if per_round else None,
        code_version=code_version,
        description=description,
        metadata={"dagster/column_schema": stored} if stored else None,
        output_required=output_required,
        check_specs=list(check_specs),
    )


@contextmanager
def told_plainly() -> Iterator[None]:
    """Turn a mistake that a person can mend into a failed step with one clear message and no retry."""
    try:
        yield
    except UserError as error:
        raise dg.Failure(description=str(error), allow_retries=False) from None


def round_of(context: dg.AssetExecutionContext, service: PoolService) -> Round:
    """Return the ledger's round of this partition.

    Raises:
        UserError: the ledger has no such round.
    """
    with service.ledger.transaction() as tx:
        return rounds.get(tx, context.partition_key)


def is_over(context: dg.AssetExecutionContext, current: Round) -> bool:
    """Say whether the round ended without labels, so that a step has nothing to do; it then ends green and stores nothing."""
    over = current.ended and current.state != "landed"
    if over:
        context.log.info(
            f"Round {current.key} has ended ({current.state}: {current.note or 'no note'}); nothing is done"
        )
    return over


def table(rows: Sequence[Mapping[str, Any]]) -> dg.TableMetadataValue:
    """Show rows as a table in the UI."""
    records = [
        dg.TableRecord(
            {
                name: value if isinstance(value, str | int | float | bool) else json.dumps(value)
                for name, value in row.items()
                if value is not None
            }
        )
        for row in rows
    ]
    kinds = {int: "int", float: "float", bool: "bool"}
    columns: dict[str, str] = {}
    for record in records:
        for name, value in record.data.items():
            columns.setdefault(name, kinds.get(type(value), "string"))
    return dg.MetadataValue.table(
        records, schema=dg.TableSchema([dg.TableColumn(name, kind) for name, kind in columns.items()])
    )


def columns(**types: str) -> dg.TableSchema:
    """The columns of what an asset stores."""
    return dg.TableSchema([dg.TableColumn(name, kind) for name, kind in types.items()])
