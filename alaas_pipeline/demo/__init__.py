"""The demo and the UI: the pipeline as it stands, run on this machine beside a local sandbox."""

from alaas_pipeline.demo.run import run_demo
from alaas_pipeline.demo.ui import run_ui

__all__ = ["run_demo", "run_ui"]
