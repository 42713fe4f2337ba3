"""Commands about this machine: the demo, the sandbox, the UI, the health check."""

import os
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from alaas_pipeline.cli.common import app, show_progress, told_plainly
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import get_home


class Dialect(Enum):
    """Where the published accounts of Avala's API differ: `sdk` follows the official clients, `published` the documentation's examples."""

    sdk = "sdk"
    published = "published"


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
            help="What simulated annotators answer: 'subfolder', a folder whose sub-folders are classes, or FILE.csv (file,label and, for boxes, x,y,width,height). Left out, a person labels on the sandbox's page, /_sandbox/."
        ),
    ] = None,
    key: Annotated[str | None, typer.Option(help="The API key it accepts; avk_sandbox when left out.")] = None,
    pace: Annotated[float, typer.Option(min=0, help="Seconds an annotator spends on one image.")] = 0.05,
    refusal_rate: Annotated[float, typer.Option(min=0, max=1, help="Share of images that annotators refuse.")] = 0.0,
    accuracy: Annotated[
        list[float] | None,
        typer.Option(min=0, max=1, help="Share of right answers; given several times, there are so many annotators."),
    ] = None,
    dialect: Annotated[
        Dialect, typer.Option(help="Which account of Avala's API to follow where they differ.")
    ] = Dialect.sdk,
    requests_per_minute: Annotated[int, typer.Option(min=1, help="Rate limit; Avala documents 100.")] = 100,
    official_uploads: Annotated[
        Path | None,
        typer.Option(
            help="Let the official client upload here: a folder for what its environment needs, to be sourced from there as 'environment'."
        ),
    ] = None,
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
                accuracy=tuple(accuracy or [1.0]),
                annotators=len(accuracy or [1.0]),
                dialect=dialect.value,
                requests_per_minute=requests_per_minute,
                burst_per_second=max(20, requests_per_minute // 5),
                official_uploads=None if official_uploads is None else str(official_uploads.resolve()),
            )
            run(settings)
        except SandboxError as error:
            # The pipeline goes on using the sandbox that does run.
            pointer.write_text(before, encoding="utf-8") if before else pointer.unlink()
            raise UserError(str(error)) from None


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
