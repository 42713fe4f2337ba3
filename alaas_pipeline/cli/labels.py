"""Commands about labels: take in what is labelled already."""

from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from alaas_pipeline.cli.common import By, PoolName, app, platform, service, told_plainly, user

if TYPE_CHECKING:
    from alaas_pipeline.labels.import_labels import Imported

_SHOWN = 10


@app.command("import-labels")
def import_labels(
    pool: PoolName,
    file: Annotated[
        Path | None, typer.Argument(help="COCO or Avala JSON, a ZIP or folder of YOLO, or CSV with image and label.")
    ] = None,
    dataset: Annotated[
        str, typer.Option(help="Instead of a file: the uid of a dataset that was labelled on Avala before.")
    ] = "",
    test_set: Annotated[
        bool, typer.Option("--test-set", help="Measure with these images: never pick them, never train on them.")
    ] = False,
    accept_names: Annotated[
        bool, typer.Option("--accept-names", help="Accept names of labels that the pool does not know yet.")
    ] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would become of a file; write nothing.")
    ] = False,
    by: By = "",
) -> None:
    """Take in what is labelled already: these images are never picked or bought again. Ends with status 1 when nothing lands."""
    with told_plainly():
        from alaas_pipeline.config import load_settings
        from alaas_pipeline.errors import UserError
        from alaas_pipeline.labels.import_labels import Importer

        if (file is None) == (not dataset):
            raise UserError("Give either a file of labels or --dataset with the uid of a dataset on Avala.")
        if dataset and dry_run:
            raise UserError(
                "--dry-run reads a file; an export of a dataset has to be asked for. Leave one of them out."
            )
        settings, rooms = load_settings().pool(pool), service()
        importer = Importer(rooms.ledger, rooms.store, rooms.home.locks, settings, by or user(), test_set, accept_names)
        if file is not None:
            done = importer.from_file(file, dry_run=dry_run)
        else:
            with platform(settings) as effects:
                done = importer.from_dataset(effects.client, dataset)
    typer.echo(_told(done, dry_run=dry_run))
    if not done.known and not done.landed:
        raise typer.Exit(1)


def _told(done: "Imported", *, dry_run: bool) -> str:
    if done.known:
        return f"{done.origin} was imported before, as {done.known}{' (a test set)' if done.test_set else ''}. Nothing changed."
    head = {True: "Dry run", False: done.key or "Nothing imported"}[dry_run]
    lines = [
        f"{head}: {done.origin} has {done.records:,} records = {done.landed:,} landed + {len(done.quarantined):,} set aside."
    ]
    if done.landed:
        what = "as a test set: never picked, never trained on" if done.test_set else "as labelled: never picked again"
        lines.append(f"{'They would count' if dry_run else 'What landed counts'} {what}.")
    if done.names:
        lines.append(f"Names of labels that nobody accepted: {done.names}. To accept them, import with --accept-names.")
    for reason, count in Counter(reason for _, reason in done.quarantined).most_common(_SHOWN):
        first = next(name for name, why in done.quarantined if why == reason)
        lines.append(f"  {count:,} set aside: {reason}" + (f" (first: {first})" if first else ""))
    kinds = len({reason for _, reason in done.quarantined})
    if kinds > _SHOWN:
        lines.append(f"  ... and {kinds - _SHOWN:,} further reasons")
    return "\n".join(lines)
