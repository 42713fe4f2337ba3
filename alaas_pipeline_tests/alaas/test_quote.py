import pytest

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import rounds
from alaas_pipeline.ledger.quotes import manifest_digest
from alaas_pipeline_tests.alaas.stand_ins import fill_pool
from alaas_pipeline_tests.builders import pool_settings


def test_a_round_is_quoted_once_for_exactly_its_picks(service: PoolService) -> None:
    settings = pool_settings(price_per_image=0.07, currency="EUR")
    fill_pool(service, settings, 8)
    key = service.open_round(settings).key
    with pytest.raises(UserError, match=r"has no picks to price \(state: open\)\. Materialize its 'selection' first"):
        service.quote(key)
    picks = service.select(key)
    quote = service.quote(key)
    assert (quote.images, quote.total_micros, quote.currency) == (3, 210_000, "EUR")
    assert quote.manifest_digest == manifest_digest([pick.digest for pick in picks])
    with service.ledger.transaction() as tx:
        assert rounds.get(tx, key).state == "quoted"
        rounds.advance(tx, key, "needs_person")
    assert service.quote(key) == quote
    with service.ledger.transaction() as tx:
        assert rounds.get(tx, key).state == "needs_person"
