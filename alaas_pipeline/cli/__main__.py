"""`python -m alaas_pipeline.cli`."""

from alaas_pipeline.cli import app

app()
