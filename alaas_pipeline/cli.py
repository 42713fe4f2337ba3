"""The command line: the same rooms for people and CI, without Dagster where it can."""

import getpass
import json
import logging
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alaas_pipeline import __version__
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import get_home, prepare_dagster_home

if TYPE_CHECKING:
    from alaas_pipeline.alaas.service import PoolService
    from alaas_pipeline.ledger import Ledger

app = typer.Typer(
    no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False,
    help="Label loops: pick the images worth labelling, price the round, label it on Avala, land the labels.",
)  # fmt: skip

PoolName = Annotated[str, typer.Argument(help="A pool's key or name, as in pools.yaml.")]
RoundKey = Annotated[str, typer.Argument(help="A round's key, for example cats.r0001.")]
By = Annotated[str, typer.Option("--by", help="Who decides; kept with the decision. Your user name when left out.")]


@contextmanager
def told_plainly() -> Iterator[None]:
    """Show a mistake that a person can mend as its one message, and end with status 1."""
    try:
        yield
    except UserError as error:
        typer.echo(f"Error: {error}", err=True)
        raise typer.Exit(1) from None
    except OSError as error:  # a full disk, missing rights, a file where a folder should be
        if error.filename is None:
            raise
        typer.echo(f"Error: {error.filename}: {error.strerror}.", err=True)
        raise typer.Exit(1) from None


def show_progress() -> None:
    """Print what the rooms report, one line each; end tidily, with what was started, when asked to."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logger = logging.getLogger("alaas_pipeline")
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False


@app.callback(invoke_without_command=True)
def main(version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False) -> None:
    """Shared by all commands."""
    if version:
        typer.echo(__version__)
        raise typer.Exit


@app.command()
def demo(rounds: Annotated[int, typer.Option(min=1, help="How many rounds to run.")] = 2) -> None:
    """Run the label loop on real photographs, against the local sandbox. Run it again for the next rounds."""
    show_progress()
    with told_plainly():
        from alaas_pipeline.demo import run_demo

        run_demo(rounds)


@app.command()
def sandbox(
    port: Annotated[int, typer.Option(help="Port on 127.0.0.1; 0 takes a free one.")] = 0,
    state: Annotated[
        Path | None, typer.Option(help="Folder of the sandbox's state; in ALAAS_HOME when left out.")
    ] = None,
    truth: Annotated[
        str | None,
        typer.Option(
            help="What simulated annotators answer: 'subfolder', a folder whose sub-folders are classes, or FILE.csv (file,label)."
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The API key it accepts; avk_sandbox when left out.")] = None,
    pace: Annotated[float, typer.Option(min=0, help="Seconds an annotator spends on one image.")] = 0.05,
    refusal_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of images that annotators refuse.")] = 0.0,
    requests_per_minute: Annotated[int, typer.Option(min=1, help="Rate limit; Avala documents 100.")] = 100,
) -> None:
    """Serve a local Avala to try things with. Its labels are made up; state survives restarts. Stop it with Ctrl-C."""
    from alaas_pipeline.avala.connect import STATE_POINTER
    from alaas_pipeline.config import SANDBOX_KEY
    from alaas_pipeline.sandbox import SandboxError, Settings, run

    with told_plainly():
        home = get_home()
        folder = (state or home.sandbox).resolve()
        home.root.mkdir(parents=True, exist_ok=True)
        pointer = home.root / STATE_POINTER
        before = pointer.read_text(encoding="utf-8") if pointer.is_file() else ""
        pointer.write_text(f"{folder}\n", encoding="utf-8")
        try:
            settings = Settings(
                state=folder,
                port=port,
                api_key=key or os.environ.get("ALAAS_SANDBOX_KEY") or SANDBOX_KEY,
                truth=truth,
                pace=pace,
                refusal_rate=refusal_rate,
                requests_per_minute=requests_per_minute,
                burst_per_second=max(20, requests_per_minute // 5),
            )
            run(settings)
        except SandboxError as error:
            # The pipeline goes on using the sandbox that does run.
            pointer.write_text(before, encoding="utf-8") if before else pointer.unlink()
            raise UserError(str(error)) from None


@app.command("open-round")
def open_round(pool: PoolName) -> None:
    """Open a pool's next round and print its key; materialize the round's assets with it as --partition."""
    with told_plainly():
        import dagster as dg

        from alaas_pipeline.assets.common import rounds_of
        from alaas_pipeline.config import load_settings

        settings = load_settings().pool(pool)
        opened = _service().open_round(settings)
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
    from alaas_pipeline.ledger import quotes

    with told_plainly():
        with _service().ledger.transaction() as tx:
            quotes.accept(tx, round_key, quote, by or _user())
            stored = quotes.find(tx, round_key)
        assert stored is not None
    pool = round_key.split(".")[0]
    typer.echo(f"Accepted: {stored.images} images of {round_key} for at most {stored.total}.")
    typer.echo("The sensor label_loop starts the work. Without sensors:")
    typer.echo(
        f"  dagster asset materialize -m alaas_pipeline.definitions --select {pool}/avala_approval --partition {round_key}"
    )


@app.command()
def refuse(round_key: RoundKey, by: By = "") -> None:
    """Refuse a round's quote: nothing is billed, and the round ends. Its picks do not come back."""
    from alaas_pipeline.ledger import quotes

    with told_plainly(), _service().ledger.transaction() as tx:
        quotes.refuse(tx, round_key, by or _user())
    typer.echo(
        f"Refused: {round_key}. Nothing is billed. Open the next round with: alaas-pipeline open-round {round_key.split('.')[0]}"
    )


@app.command()
def status(
    pool: Annotated[str | None, typer.Argument(help="A pool's key or name; all pools when left out.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print the whole document as JSON.")] = False,
) -> None:
    """Show where pools, rounds, credits and money stand."""
    from alaas_pipeline.ledger.status import status as read_status
    from alaas_pipeline.report.status import status_text

    with told_plainly():
        ledger = _service().ledger
        document = read_status(ledger, _key(pool, ledger) if pool else None)
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2) if as_json else status_text(document))


@app.command()
def doctor() -> None:
    """Check this installation: state folder, pools.yaml, libraries, keys, and whether each pool's platform answers."""
    from alaas_pipeline.doctor import examine

    findings = list(examine())
    for finding in findings:
        typer.echo(f"{'ok  ' if finding.ok else 'MEND'}  {finding.what}: {finding.says}")
    if not all(finding.ok for finding in findings):
        raise typer.Exit(1)


@app.command()
def ui(port: Annotated[int, typer.Option(help="Port of the Dagster UI.")] = 3000) -> None:
    """Open the Dagster UI, with the local sandbox beside it when a pool is on the sandbox."""
    show_progress()
    with told_plainly():
        from alaas_pipeline.demo import run_ui

        run_ui(port)


def _service() -> "PoolService":
    from alaas_pipeline.alaas.service import PoolService
    from alaas_pipeline.ledger import Ledger
    from alaas_pipeline.store import Store

    home = get_home()
    return PoolService(Ledger(home.ledger), Store(str(home.files)), home)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container that runs under a number
        return "a user without a name"


def _key(pool: str, ledger: "Ledger") -> str:
    """Return the key of a pool given by key or name; a pool that pools.yaml lost stays reachable by its key."""
    from alaas_pipeline.config import load_settings
    from alaas_pipeline.ledger import pools

    try:
        return load_settings().pool(pool).key
    except UserError:
        with ledger.transaction() as tx:
            if pool in pools.known(tx):
                return pool
        raise


if __name__ == "__main__":
    app()
