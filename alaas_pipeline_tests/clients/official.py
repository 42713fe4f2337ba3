"""Runs the official client, unmodified, as somebody with a home and an environment of their own."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from alaas_pipeline_tests.sandbox_process import API_KEY

# What the installed command does.
COMMAND = ("-c", "from avala.cli import main; main()")
Run = Callable[..., subprocess.CompletedProcess[str]]


def runner(base_url: str, home: Path, more: Mapping[str, str] | None = None) -> Run:
    """Runs Python with words of a command line, as somebody whose home and platform these are."""
    environment = environment_of(base_url, home) | dict(more or {})

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


def environment_of(base_url: str, home: Path) -> dict[str, str]:
    """What the client reads, and nothing of this machine's own settings of it."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AVALA_")}
    return kept | {
        "AVALA_API_KEY": API_KEY,
        "AVALA_BASE_URL": base_url,
        "AVALA_ALLOW_INSECURE_BASE_URL": "true",
        "HOME": str(home),
        "USERPROFILE": str(home),
        "NO_PROXY": "127.0.0.1",
        "COLUMNS": "200",
    }
