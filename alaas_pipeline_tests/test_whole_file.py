import os
from pathlib import Path

import pytest

from alaas_pipeline.whole_file import is_unfinished, whole_file


def test_a_file_appears_when_it_is_complete(tmp_path: Path) -> None:
    # As long as a name can be: the unfinished file's is not made of it.
    target = tmp_path / "new" / ("ü" * 127)
    with whole_file(target) as file:
        file.write(b"first")
        assert [is_unfinished(name) for name in os.listdir(target.parent)] == [True]
    assert os.listdir(target.parent) == [target.name]
    assert not is_unfinished(target.name)
    assert target.read_bytes() == b"first"


def test_what_fails_leaves_the_former_file(tmp_path: Path) -> None:
    target = tmp_path / "a.bin"
    target.write_bytes(b"former")

    def interrupted() -> None:
        with whole_file(target) as file:
            file.write(b"half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert os.listdir(tmp_path) == ["a.bin"]
    assert target.read_bytes() == b"former"
