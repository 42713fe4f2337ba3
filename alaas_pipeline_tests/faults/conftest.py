"""One reference run for each test process, and what it is checked against."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from alaas_pipeline_tests.faults import checker
from alaas_pipeline_tests.faults.installation import NOTHING, ROUNDS, Installation
from alaas_pipeline_tests.faults.sweep import HASTE, Recorder, Swept

MEMORY = Path("/dev/shm")
ENOUGH_BYTES = 2 << 30


@pytest.fixture(scope="session")
def swept() -> Iterator[Swept]:
    """A run of three rounds that nobody disturbs."""
    # What is killed may lie in memory: SIGKILL loses nothing that was written.
    in_memory = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ENOUGH_BYTES
    root = Path(tempfile.mkdtemp(prefix="alaas-faults-", dir=MEMORY if in_memory else None))
    try:
        with Installation(root) as installation:
            recorder = Recorder(installation)
            with installation.at(NOTHING):
                status = installation.run(recorder, HASTE)
                assert status is not None
                effects, tasks = checker.read(installation.admin_url)
                requests = installation.admin("requests")["requests"]
            wrong = checker.violations(effects, tasks, status, ROUNDS)
            yield Swept(installation, recorder.points, recorder.sent, effects, requests, wrong)
    finally:
        shutil.rmtree(root, ignore_errors=True)
