import pytest

from alaas_pipeline_tests.mutants import MUTANTS, ROOT, Mutant


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.guard)
def test_the_line_that_a_mutant_breaks_is_there_once(mutant: Mutant) -> None:
    assert (ROOT / "alaas_pipeline" / mutant.file).read_text().count(mutant.line) == 1
