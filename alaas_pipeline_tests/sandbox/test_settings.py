from pathlib import Path
from typing import Any

import pytest

from alaas_pipeline.sandbox import SandboxError, Settings
from alaas_pipeline.sandbox.__main__ import parser


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"accuracy": 1.1}, "accuracy is a share"),
        ({"refusal_rate": -0.1}, "refusal_rate is a share"),
        ({"refusal_rate": float("nan")}, "refusal_rate is a share"),
        ({"pace": -1}, "pace counts seconds"),
        ({"pace": float("inf")}, "pace counts seconds"),
        ({"annotators": 0}, "annotators must be 1 or more"),
        ({"requests_per_minute": 0}, "requests_per_minute"),
        ({"creating_reads": -1}, "creating_reads"),
        ({"part_size": 1}, "5 MiB"),
        ({"api_key": ""}, "api_key"),
        ({"username": "a/b"}, "username"),
    ],
)
def test_settings_out_of_range_are_refused(tmp_path: Path, settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SandboxError, match=message):
        Settings(state=tmp_path, **settings)


def test_every_setting_is_an_option(tmp_path: Path) -> None:
    assert Settings(**vars(parser().parse_args(["--state", str(tmp_path)]))) == Settings(state=tmp_path)
    words = [
        "--state=s",
        "--port=1",
        "--pace=0.5",
        "--truth=subfolder",
        "--labels=a,b c",
        "--strict-exports",
        "--upload-method=multipart",
        "--plan=BASIC",
        "--seed=7",
        "--export-kind=json",
    ]
    wanted = Settings(
        state=Path("s"),
        port=1,
        pace=0.5,
        truth="subfolder",
        labels=("a", "b c"),
        strict_exports=True,
        upload_method="multipart",
        plan="BASIC",
        seed=7,
        export_kind="json",
    )
    assert Settings(**vars(parser().parse_args(words))) == wanted
