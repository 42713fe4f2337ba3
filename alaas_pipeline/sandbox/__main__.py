"""``python -m alaas_pipeline.sandbox``: the server with every setting as an option."""

import argparse
import dataclasses
import logging
import sys
import typing
from pathlib import Path

from alaas_pipeline.sandbox.errors import SandboxError
from alaas_pipeline.sandbox.settings import Settings


def parser() -> argparse.ArgumentParser:
    """One option for each setting, named like it, with its default."""
    made = argparse.ArgumentParser(prog="python -m alaas_pipeline.sandbox", description="A local Avala server.")
    hints = typing.get_type_hints(Settings)
    for field in dataclasses.fields(Settings):
        option, hint = "--" + field.name.replace("_", "-"), hints[field.name]
        if field.default is dataclasses.MISSING:
            made.add_argument(option, type=Path, required=True)
        elif hint is bool:
            made.add_argument(option, action="store_true")
        elif field.name == "labels":
            made.add_argument(
                option,
                type=lambda text: tuple(filter(None, text.split(","))),
                default=field.default,
                help="separated by commas",
            )
        elif typing.get_origin(hint) is typing.Literal:
            made.add_argument(
                option, choices=typing.get_args(hint), default=field.default, help="(default: %(default)s)"
            )
        else:
            kind = hint if hint in (int, float) else str
            made.add_argument(option, type=kind, default=field.default, help="(default: %(default)s)")
    return made


def main() -> int:
    """Runs the server; 2 for settings it cannot run with."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s", stream=sys.stderr)
    arguments = vars(parser().parse_args())
    try:
        settings = Settings(**arguments)
        # Only now: a wrong option is answered without loading the web framework.
        from alaas_pipeline.sandbox.server import run

        run(settings)
    except SandboxError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
