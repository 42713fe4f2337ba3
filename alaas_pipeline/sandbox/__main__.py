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
        elif field.name == "accuracy":
            made.add_argument(
                option, type=_shares, default=field.default, help="one for all, or one for each, separated by commas"
            )
        elif words := _words(hint):
            told = "(default: as the dialect has it)" if field.default is None else "(default: %(default)s)"
            made.add_argument(option, type=type(words[0]), choices=words, default=field.default, help=told)
        else:
            kind = hint if hint in (int, float) else str
            made.add_argument(option, type=kind, default=field.default, help="(default: %(default)s)")
    return made


def _shares(text: str) -> float | tuple[float, ...]:
    shares = tuple(float(part) for part in text.split(","))
    return shares[0] if len(shares) == 1 else shares


def _words(hint: typing.Any) -> list[typing.Any]:
    """The words that a setting may have; none if it is no choice of words."""
    for kind in (hint, *typing.get_args(hint)):
        if typing.get_origin(kind) is typing.Literal:
            return list(typing.get_args(kind))
    return []


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
