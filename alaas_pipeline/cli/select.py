"""Picking without a pool: from vectors that people bring, or from a folder of images."""

import json
import logging
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from alaas_pipeline.cli.common import app, told_plainly
from alaas_pipeline.engine.encoder import DEFAULT_ENCODER
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import get_home

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from alaas_pipeline.engine.picks import Pick, Selection

EXHAUSTED_STATUS = 3

Count = Annotated[
    int, typer.Option("--k", min=1, help="Images to pick. 'explore' adds up to a fifth as many outliers.")
]
Strategy = Annotated[
    str,
    typer.Option(help="'coverage', 'explore', or 'adaptive', which without labels is 'coverage': docs/selection.md."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print picks, reasons and figures as JSON.")]


@app.command("select-file")
def select_file(
    vectors: Annotated[
        Path,
        typer.Argument(help="Your embeddings: .npy, or .parquet with a column of lists of floats, and perhaps 'id'."),
    ],
    k: Count,
    strategy: Strategy = "adaptive",
    selected: Annotated[
        Path | None, typer.Option(help="Rows picked before, one row number or id a line; never picked again.")
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV of labels, columns 'row' or 'id', and 'label'; such rows count as picked, and 'adaptive' looks at them."
        ),
    ] = None,
    keep: Annotated[
        Path | None,
        typer.Option(help="A file for what depends on the vectors alone: made if missing, sooner answers if there."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pick from your own embeddings: prints row numbers, from 0, in pick order. No pool and no account is needed."""
    with told_plainly(), _progress():
        from alaas_pipeline.picking.lists import read_labels, read_selected
        from alaas_pipeline.picking.vectors import read_vectors

        table = read_vectors(vectors)
        earlier = read_selected(selected, table) if selected else set()
        known = read_labels(labels, table) if labels else {}
        chosen = _select(vectors, table.ids, table.vectors, k, strategy, earlier, known, keep)
        rows = {name: row for row, name in enumerate(table.ids)}
        if as_json:
            _print_json({"strategy": strategy, "k": k}, chosen, lambda pick: {"row": rows[pick.id], **asdict(pick)})
            return
        for pick in _all(chosen):
            typer.echo(rows[pick.id])


@app.command("pick")
def pick_command(
    folder: Annotated[
        Path, typer.Argument(help="A folder of images, with all folders in it. Nothing is written there.")
    ],
    k: Count,
    strategy: Strategy = "coverage",
    out: Annotated[Path, typer.Option(help="The page of picks to write: one HTML file.")] = Path("picks.html"),
    encoder: Annotated[
        str, typer.Option(help="The default needs no download; any other as in pools.yaml.")
    ] = DEFAULT_ENCODER,
    copy_to: Annotated[
        Path | None, typer.Option(help="Copy the picks into this new or empty folder, numbered in pick order.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Pick the images of a folder that are the most worth labelling: prints their paths in pick order."""
    with told_plainly(), _progress():
        from alaas_pipeline.picking.deliver import check_copies, check_page, copy_picks, write_page
        from alaas_pipeline.picking.folder import embed_folder
        from alaas_pipeline.report.tables import one_line

        # What would fail after minutes of embedding is said before.
        check_page(out)
        if copy_to:
            check_copies(copy_to, folder)
        images = embed_folder(folder, encoder, get_home())
        for path, reason in images.bad.items():
            typer.echo(one_line(f"not used: {path}: {reason}"), err=True)
        if images.copies:
            typer.echo(f"Left out as exact copies of others: {images.copies:,}.", err=True)
        chosen = _select(folder, images.paths, images.vectors, k, strategy)
        picked = [pick.id for pick in _all(chosen)]
        if copy_to:
            for path, reason in copy_picks(images, picked, copy_to).items():
                typer.echo(one_line(f"not copied: {path}: {reason}"), err=True)
        write_page(images, strategy, chosen, out)
        if as_json:
            about = {"strategy": strategy, "k": k, "encoder": images.encoder_id, "sheet": str(out)}
            bad = [
                {"path": path, "digest": images.bad_digests.get(path), "reason": why}
                for path, why in images.bad.items()
            ]
            _print_json(about, chosen, lambda pick: {"path": str(images.place(pick.id)), **asdict(pick)}, bad=bad)
            return
        if any(len(path.splitlines()) > 1 for path in picked):
            typer.echo("The name of a picked file has a line break: read the paths from --json.", err=True)
        for path in picked:
            typer.echo(images.place(path))
        typer.echo(f"The page with pictures and reasons: {out}", err=True)


def _select(
    what: Path,
    ids: Sequence[str],
    vectors: "NDArray[np.floating]",
    k: int,
    strategy: str,
    selected: Collection[str] = (),
    labels: Mapping[str, str] | None = None,
    keep: Path | None = None,
) -> "Selection":
    from alaas_pipeline.engine.picks import PoolExhausted
    from alaas_pipeline.engine.select import select

    try:
        chosen = select(ids, vectors, k, strategy=strategy, selected=selected, labels=labels, keep=keep)
    except PoolExhausted:
        typer.echo(
            f"pool_exhausted: every row of {what} was picked or labelled before. Add some to go on." if ids
            else f"pool_exhausted: {what} is empty. Add some to go on.", err=True,
        )  # fmt: skip
        raise typer.Exit(EXHAUSTED_STATUS) from None
    except ValueError as error:
        raise UserError(f"{what}: {error}") from None
    except OSError as error:
        if keep is None or error.filename is None:
            raise
        raise UserError(
            f"{keep} cannot be written: {error.strerror}. Give --keep a file in a folder of yours."
        ) from None
    if len(chosen.representatives) < k:
        typer.echo(f"{k:,} were asked for and {len(chosen.representatives):,} left: these are all.", err=True)
    return chosen


def _all(selection: "Selection") -> "list[Pick]":
    return [*selection.representatives, *selection.outliers]


def _print_json(
    about: Mapping[str, Any], selection: "Selection", show: "Callable[[Pick], dict[str, Any]]", **more: Any
) -> None:
    found = {
        "picks": [show(pick) for pick in selection.representatives],
        "outliers": [show(pick) for pick in selection.outliers],
        "metrics": selection.metrics,
    }
    typer.echo(json.dumps({**about, **found, **more}, ensure_ascii=False, indent=2))


@contextmanager
def _progress() -> Iterator[None]:
    """Tell on standard error what the rooms report: standard output is for the picks."""
    logger = logging.getLogger("alaas_pipeline")
    before = (logger.level, logger.propagate)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s  %(message)s", datefmt="%H:%M:%S"))
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]
