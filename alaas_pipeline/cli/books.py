"""Commands about the books: compare them with the world, copy them, put a copy back, accept a priced plan."""

from pathlib import Path
from typing import Annotated

import typer

from alaas_pipeline.cli.common import By, PoolName, app, key_of, platform, service, told_plainly, user
from alaas_pipeline.home import get_home

DRIFT = 2


@app.command()
def reconcile(
    pool: Annotated[str | None, typer.Argument(help="A pool's key or name; all pools when left out.")] = None,
    apply: Annotated[
        bool, typer.Option("--apply", help="Do what is safe: the ledger is mended, nothing is sent or billed.")
    ] = False,
) -> None:
    """Compare ledger, Avala and files, and print what agrees and what does not. Ends with status 2 when something does not."""
    with told_plainly():
        from alaas_pipeline.alaas import reconcile as reconciling
        from alaas_pipeline.report.reconcile import plan_text

        pools = service()
        plans = []
        for settings in _pools(pool):
            with platform(settings, look_only=True) as effects:
                plans.append(reconciling.compare(pools, effects, settings))
                if apply and plans[-1].drift:
                    for line in reconciling.apply(pools, plans[-1]):
                        typer.echo(line)
                    plans[-1] = reconciling.compare(pools, effects, settings)
        if apply and pool is None and reconciling.close_losses(pools, plans):
            typer.echo("The lost commits are reconciled: nothing else disagrees.")
            plans = [reconciling.without_losses(plan) for plan in plans]
    # What was lost concerns all pools, and is told once.
    typer.echo(plan_text([*plans[:1], *map(reconciling.without_losses, plans[1:])]))
    if any(plan.drift for plan in plans):
        raise typer.Exit(DRIFT)


@app.command("accept-plan")
def accept_plan(
    pool: PoolName,
    plan: Annotated[str, typer.Option(help="The digest of the plan you accept; see `alaas-pipeline status`.")],
    by: By = "",
) -> None:
    """Accept the price of a change of encoder. The new vectors are made by the next run of the pool's 'embeddings'."""
    with told_plainly():
        from alaas_pipeline.ledger import plans

        ledger = service().ledger
        with ledger.transaction() as tx:
            accepted = plans.accept(tx, key_of(pool, ledger), plan, by or user())
    typer.echo(
        f"Accepted: {accepted.images:,} new vectors of '{accepted.encoder}' for at most {accepted.credits:,} credits."
    )


@app.command()
def backup(
    folder: Annotated[
        Path | None, typer.Argument(help="Where the copy goes; ALAAS_HOME/backups when left out.")
    ] = None,
) -> None:
    """Copy the ledger, while work goes on, and print the copy's path."""
    with told_plainly():
        from alaas_pipeline.ledger.backup import backup as copy

        typer.echo(copy(service().ledger, folder or get_home().root / "backups"))


@app.command()
def restore(file: Annotated[Path, typer.Argument(help="A copy made with `alaas-pipeline backup`.")]) -> None:
    """Put a copy of the ledger back; the present one is put away beside it. What came after the copy is listed as lost."""
    with told_plainly():
        from alaas_pipeline.ledger import losses
        from alaas_pipeline.ledger.backup import restore as put_back

        ledger = service().ledger
        done = put_back(ledger, file)
        with ledger.transaction() as tx:
            lost = losses.unreconciled(tx)
    typer.echo(
        f"Restored: {file}, with {done.commits} commits." + (f" Put away: {done.put_away}" if done.put_away else "")
    )
    for loss in lost:
        typer.echo(f"Lost: commits {loss.first_commit} to {loss.last_commit}")
        for line in loss.what:
            typer.echo(f"  {line}")
    if lost:
        typer.echo("Compare with Avala before the next round: alaas-pipeline reconcile")


def _pools(pool: str | None) -> list:
    """Return the settings of one pool, or of all that the ledger knows; of a pool that pools.yaml lost, its last round's."""
    from alaas_pipeline.config import load_settings
    from alaas_pipeline.errors import UserError
    from alaas_pipeline.ledger import pools, rounds

    ledger = service().ledger
    with ledger.transaction() as tx:
        known, last = pools.known(tx), {key: rounds.latest(tx, key) for key in pools.known(tx)}
    found = []
    for key in [key_of(pool, ledger)] if pool else known:
        try:
            found.append(load_settings().pool(key))
        except UserError:
            current = last.get(key)
            if current:
                found.append(current.settings)
            elif pool:
                raise
    return found
