"""Commands about rounds: open one, answer its quote, stop or go on, see where it stands."""

import json
from typing import Annotated

import typer

from alaas_pipeline.cli.common import By, PoolName, RoundKey, app, key_of, platform, service, told_plainly, user
from alaas_pipeline.home import get_home, prepare_dagster_home

Version = Annotated[int | None, typer.Option(help="The version of the labels; the one that waits when left out.")]


@app.command("open-round")
def open_round(pool: PoolName) -> None:
    """Open a pool's next round and print its key; materialize the round's assets with it as --partition."""
    with told_plainly():
        import dagster as dg

        from alaas_pipeline.assets.common import rounds_of
        from alaas_pipeline.config import load_settings

        settings = load_settings().pool(pool)
        opened = service().open_round(settings)
        prepare_dagster_home(get_home())
        with dg.DagsterInstance.get() as instance:
            instance.add_dynamic_partitions(str(rounds_of(settings.key).name), [opened.key])
    typer.echo(opened.key)


@app.command()
def approve(
    round_key: RoundKey,
    quote: Annotated[str, typer.Option(help="The digest of the quote you accept; see `alaas-pipeline status`.")],
    by: By = "",
) -> None:
    """Accept a round's quote. The billable work starts with the next run of its 'avala_approval'."""
    _steer(round_key, "approve", by, quote)
    pool = round_key.split(".")[0]
    typer.echo("The sensor label_loop starts the work. Without sensors:")
    typer.echo(
        f"  dagster asset materialize -m alaas_pipeline.definitions --select {pool}/avala_approval --partition {round_key}"
    )


@app.command()
def refuse(round_key: RoundKey, by: By = "") -> None:
    """Refuse a round's quote: nothing is billed, and the round ends. Its picks do not come back."""
    _steer(round_key, "refuse", by)
    typer.echo(f"Open the next round with: alaas-pipeline open-round {round_key.split('.')[0]}")


@app.command()
def pause(round_key: RoundKey, by: By = "") -> None:
    """Stop the annotators, and the bill, until `resume`."""
    _steer(round_key, "pause", by)


@app.command()
def resume(round_key: RoundKey, by: By = "") -> None:
    """Let the annotators of a paused round go on."""
    _steer(round_key, "resume", by)


@app.command()
def cancel(round_key: RoundKey, by: By = "") -> None:
    """End an approved round for good: its project is canceled, and what is not labelled stays so. It cannot be undone."""
    _steer(round_key, "cancel", by)


@app.command()
def archive(round_key: RoundKey, by: By = "") -> None:
    """Put the project of a landed or canceled round away on Avala."""
    _steer(round_key, "archive", by)


@app.command()
def retry(round_key: RoundKey, by: By = "") -> None:
    """Say that what stopped a round is mended: it goes on from where it was, and may ask for one more export."""
    _steer(round_key, "retry", by)


@app.command("refresh-labels")
def refresh_labels(
    round_key: RoundKey,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until Avala has made the export.")] = 600.0,
) -> None:
    """Fetch a landed round's labels again, after corrections on Avala; what loses or changes a label waits for a yes."""
    with told_plainly():
        from alaas_pipeline.labels.refresh import refresh
        from alaas_pipeline.ledger import rounds

        own = service()
        with own.ledger.transaction() as tx:
            settings = rounds.get(tx, round_key).settings
        with platform(settings) as effects:
            done = refresh(own.ledger, own.store, effects, round_key, wait)
    typer.echo(done.told)


@app.command("accept-labels")
def accept_labels(round_key: RoundKey, version: Version = None, by: By = "") -> None:
    """Let labels that wait serve, with their names. Launch the pool's job land_round to write the training set anew."""
    _steer(round_key, "accept-labels", by, version=version)


@app.command("refuse-labels")
def refuse_labels(round_key: RoundKey, version: Version = None, by: By = "") -> None:
    """Refuse labels that wait: the version that served before serves on."""
    _steer(round_key, "refuse-labels", by, version=version)


@app.command()
def status(
    pool: Annotated[str | None, typer.Argument(help="A pool's key or name; all pools when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole document as JSON.")] = False,
) -> None:
    """Show where pools, rounds, credits and money stand."""
    from alaas_pipeline.ledger.status import status as read_status
    from alaas_pipeline.report.status import status_text

    with told_plainly():
        ledger = service().ledger
        document = read_status(ledger, key_of(pool, ledger) if pool else None)
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2) if as_json else status_text(document))


def _steer(round_key: str, action: str, by: str, quote: str = "", version: int | None = None) -> None:
    with told_plainly():
        from alaas_pipeline.avala.steering import Action, steer
        from alaas_pipeline.ledger import rounds

        ledger = service().ledger
        with ledger.transaction() as tx:
            settings = rounds.get(tx, round_key).settings
        told = steer(ledger, lambda: platform(settings), round_key, Action(action), by or user(), quote, version)
    typer.echo(told)
