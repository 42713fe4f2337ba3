"""What a worker process holds at the most, measured from outside."""

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline_tests.corpus import folder as corpus_folder
from alaas_pipeline_tests.corpus import large, worker

MOST_MIB = 1536


def run(*arguments: object, timeout_s: float = 120) -> Any:
    """Run a module of this folder in a process of its own."""
    module, *rest = (str(argument) for argument in arguments)
    done = subprocess.run(
        [sys.executable, "-m", module, *rest], check=True, capture_output=True, text=True, timeout=timeout_s
    )
    return json.loads(done.stdout) if done.stdout else None


def test_no_file_of_the_corpus_takes_much(tmp_path: Path, record_property: Any) -> None:
    held = corpus_folder.write(tmp_path / "photos")
    found = run(worker.__name__, tmp_path / "photos")
    record_property("shown", f"corpus: {found['peak_mib']:.0f} MiB at the most for {sum(found['told'].values())} files")
    told = Counter(found["told"])
    # A hard link, and two files that only their names keep from being used, are good here.
    assert told["good"] == sum(not case.refused for case in held.cases.values()) + 3
    assert (found["embedded"], found["failed"]) == (told["good"], {})
    assert found["peak_mib"] < 500


@pytest.mark.faults
@pytest.mark.timeout(600)
def test_the_largest_images_and_the_real_encoder_fit_into_a_worker(tmp_path: Path, record_property: Any) -> None:
    # Written elsewhere, for that takes memory, too.
    run(large.__name__, tmp_path / "photos", timeout_s=250)
    found = run(worker.__name__, tmp_path / "photos", tmp_path / "models", timeout_s=250)
    record_property(
        "shown",
        f"largest images: {found['looking_mib']:.0f} MiB to look at, {found['peak_mib']:.0f} MiB at the most to embed",
    )
    assert found["told"] == {"good": found["embedded"]}
    assert found["failed"] == {}
    assert found["peak_mib"] <= MOST_MIB
