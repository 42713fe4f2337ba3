import subprocess
import sys
from pathlib import Path

import pytest

from alaas_pipeline.sandbox import Settings
from alaas_pipeline.sandbox.__main__ import parser
from alaas_pipeline.sandbox.dialects import SWITCHES


def test_a_dialect_decides_every_switch_that_is_left_out(tmp_path: Path) -> None:
    assert SWITCHES["sdk"].keys() == SWITCHES["published"].keys()
    for dialect, words in SWITCHES.items():
        settings = Settings(state=tmp_path, dialect=dialect)
        assert {name: getattr(settings, name) for name in words} == dict(words)
    assert Settings(state=tmp_path) == Settings(state=tmp_path, dialect="sdk")


def test_a_switch_wins_over_the_dialect(tmp_path: Path) -> None:
    settings = Settings(state=tmp_path, dialect="published", export_final="exported", member_shape="flat")
    assert (settings.export_final, settings.member_shape) == ("exported", "flat")
    assert settings.project_tasks == "annotations"


def test_switches_are_options(tmp_path: Path) -> None:
    words = ["--state", str(tmp_path), "--dialect=published", "--every-project=staff", "--taken-name-status=409"]
    wanted = Settings(state=tmp_path, dialect="published", every_project="staff", taken_name_status=409)
    assert Settings(**vars(parser().parse_args(words))) == wanted
    assert wanted.taken_name_status == 409


def test_a_dialect_that_does_not_exist_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parser().parse_args(["--state=s", "--dialect=french"])
    assert "published" in capsys.readouterr().err


def test_the_help_names_the_dialects() -> None:
    command = [sys.executable, "-m", "alaas_pipeline.sandbox", "--help"]
    told = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    assert "--dialect {sdk,published}" in told
    assert "(default: as the dialect has it)" in " ".join(told.split())
