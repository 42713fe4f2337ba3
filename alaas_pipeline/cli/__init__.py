"""The command line: the same rooms for people and CI, without Dagster where it can."""

# The order of the commands in the help.
from alaas_pipeline.cli import machine, rounds, labels, books, select  # isort: skip
from alaas_pipeline.cli.common import app

__all__ = ["app", "books", "labels", "machine", "rounds", "select"]
