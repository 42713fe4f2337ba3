"""The README's sixty seconds, line by line, with the real encoder."""

import re
from pathlib import Path

import numpy as np
import pytest

from alaas_pipeline_tests.end_to_end.typed import BIN, shell
from alaas_pipeline_tests.engine.pools import noise
from alaas_pipeline_tests.picking.looks import photographs

ROOT = Path(__file__).resolve().parent.parent.parent


def test_the_lines_of_sixty_seconds_run(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    (section,) = re.findall(
        r"^## Sixty seconds$(.*?)^## ", (ROOT / "README.md").read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL
    )
    (typed,) = re.findall(r"```sh\n(.*?)```", section, re.DOTALL)
    (program,) = re.findall(r"```python\n(.*?)```", section, re.DOTALL)
    photographs(tmp_path / "photos", 6)
    np.save(tmp_path / "vectors.npy", noise(40))
    # The default encoder is made once for all processes of the test run.
    models = tmp_path_factory.getbasetemp().parent / "alaas-models"
    models.mkdir(exist_ok=True)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "models").symlink_to(models)
    first, second = typed.splitlines()

    paths = shell(first, cwd=tmp_path, ALAAS_HOME=str(tmp_path / "home")).stdout.splitlines()
    assert sorted(tmp_path / path for path in paths) == sorted((tmp_path / "photos").rglob("*.png"))
    assert (tmp_path / "picks.html").read_text(encoding="utf-8").count("<img ") == 6

    picked = shell(second, cwd=tmp_path, ALAAS_HOME=str(tmp_path / "home")).stdout.split()
    assert len(set(picked)) == 20
    (tmp_path / "readme.py").write_text(program)
    printed = shell(f"{BIN / 'python'} readme.py", cwd=tmp_path, PYTHONPATH=str(ROOT)).stdout.splitlines()
    assert [line.split()[0] for line in printed] == picked
    assert all(line.endswith(".") for line in printed)
