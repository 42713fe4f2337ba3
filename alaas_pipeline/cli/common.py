"""What all commands share: the app, how mistakes are told, and how to get at the rooms."""

import getpass
import logging
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated

import typer

from alaas_pipeline import __version__
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import get_home

if TYPE_CHECKING:
    from alaas_pipeline.alaas.service import PoolService
    from alaas_pipeline.avala.effects import AvalaEffects
    from alaas_pipeline.config import PoolSettings
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


def service() -> "PoolService":
    """Return the pool service of this installation."""
    from alaas_pipeline.alaas.service import PoolService
    from alaas_pipeline.ledger import Ledger
    from alaas_pipeline.store import open_store

    home = get_home()
    return PoolService(Ledger(home.ledger), open_store(home), home)


def user() -> str:
    """Return who types this, as far as the system knows."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container that runs under a number
        return "a user without a name"


def key_of(pool: str, ledger: "Ledger") -> str:
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


@contextmanager
def platform(settings: "PoolSettings", *, look_only: bool = False) -> "Iterator[AvalaEffects]":
    """Connect to a pool's platform.

    Raises:
        UserError: no key, or no sandbox is running.
    """
    from alaas_pipeline.avala.connect import connect
    from alaas_pipeline.avala.effects import AvalaEffects
    from alaas_pipeline.ledger import Ledger

    home = get_home()
    with connect(settings, home) as client:
        yield AvalaEffects(Ledger(home.ledger), client, home.locks, look_only=look_only)
