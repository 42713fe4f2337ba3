"""What was labelled before is not picked, and the picks go where it is not; a test set is only not picked."""

from pathlib import Path

import numpy as np
import pytest

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.engine.vectors import write_part
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import imports
from alaas_pipeline_tests.alaas.stand_ins import fill_pool
from alaas_pipeline_tests.builders import pool_settings
from alaas_pipeline_tests.ledger.fill import ENCODER

ONE = pool_settings(images_per_round=1)
LARGE, SMALL = range(6), range(6, 10)


@pytest.fixture
def digests(service: PoolService) -> list[str]:
    """Images in two directions: six in the one, four in the other."""
    digests = fill_pool(service, ONE, 10)
    vectors = 0.25 * np.random.default_rng(1).normal(size=(10, 16))
    vectors[LARGE, 0] += 1
    vectors[SMALL, 1] += 1
    part = Path(service.store.path(f"pools/cats/embeddings/{ENCODER}/part.parquet"))
    part.unlink()
    write_part(part, digests, vectors / np.linalg.norm(vectors, axis=1, keepdims=True))
    return digests


def import_them(service: PoolService, digests: list[str], *, test_set: bool) -> None:
    with service.ledger.transaction() as tx:
        imports.open_next(tx, "cats", "old.csv", digests, test_set=test_set, by="ada")


def pick(service: PoolService) -> str:
    (picked,) = service.select(service.open_round(ONE).key)
    return picked.digest


def test_without_imports_the_larger_group_comes_first(service: PoolService, digests: list[str]) -> None:
    assert digests.index(pick(service)) in LARGE


@pytest.mark.parametrize(("test_set", "group"), [(False, SMALL), (True, LARGE)])
def test_labels_condition_the_picks_and_a_test_set_does_not(
    service: PoolService, digests: list[str], test_set: bool, group: range
) -> None:
    first = next(one for one in digests if digests.index(one) in LARGE)
    import_them(service, [first], test_set=test_set)
    picked = pick(service)
    assert picked != first
    assert digests.index(picked) in group


@pytest.mark.parametrize("test_set", [False, True])
def test_what_is_imported_is_never_bought(service: PoolService, digests: list[str], test_set: bool) -> None:
    import_them(service, digests[1:], test_set=test_set)
    assert pick(service) == digests[0]
    with pytest.raises(UserError):
        service.open_round(ONE)


def test_when_all_is_imported_there_is_nothing_to_pick(service: PoolService, digests: list[str]) -> None:
    import_them(service, digests, test_set=False)
    with pytest.raises(UserError, match=r"^pool_exhausted"):
        service.open_round(ONE)
    assert service.usage("cats").spent == 0
