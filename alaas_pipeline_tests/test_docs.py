"""What the documents say of tests is so."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
TESTS = ROOT / "alaas_pipeline_tests"
DOCUMENTS = sorted(ROOT.glob("docs/*.md"))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_tests_that_a_document_names_are_there(document: Path) -> None:
    text = document.read_text(encoding="utf-8")
    source = "\n".join(path.read_text(encoding="utf-8") for path in TESTS.rglob("test_*.py"))
    there = set(re.findall(r"def (test_\w+)", source))
    assert set(re.findall(r"`(test_\w+)`", text)) - there == set()
    files = [name for name in re.findall(r"`((?:\w+/)?test_\w+\*?\.py)`", text) if not any(TESTS.glob(name))]
    assert files == []


def test_every_row_of_the_register_is_told() -> None:
    rows = re.findall(r"^\| ([\d–, ]+) \|", (ROOT / "docs/avala.md").read_text(encoding="utf-8"), re.MULTILINE)
    told: list[int] = []
    for row in rows:
        first, _, last = row.replace(",", "–").replace(" ", "").partition("–")
        told += range(int(first), int(last or first) + 1)
    assert told == list(range(1, 36))
