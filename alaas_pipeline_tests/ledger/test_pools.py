from dataclasses import replace

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, images, pools
from alaas_pipeline.ledger.pools import Binding
from alaas_pipeline_tests.ledger.fill import ENCODER, add_images, digest

BOUND = Binding("avala", "https://api.avala.ai/api/v1", "account-1", "my-team")


def test_pools_are_made_once_oldest_first(tx: Transaction) -> None:
    for key, name in (("dogs", "Dogs"), ("ants", "Ants"), ("dogs", "Hounds")):
        pools.ensure(tx, key, name)
    assert pools.known(tx) == ["cats", "dogs", "ants"]
    assert tx.value("SELECT name FROM pools WHERE pool = 'dogs'") == "Dogs"


def test_a_pool_is_bound_at_first_use(tx: Transaction) -> None:
    assert pools.binding(tx, "cats") is None
    assert pools.binding(tx, "unheard of") is None
    for _ in range(2):
        pools.bind(tx, "cats", BOUND)
        assert pools.binding(tx, "cats") == BOUND


@pytest.mark.parametrize(
    ("field", "value"),
    [("platform", "sandbox"), ("base_url", "https://other.test"), ("account_uid", "account-2"), ("owner", "others")],
)
def test_a_bound_pool_refuses_a_change(tx: Transaction, field: str, value: str) -> None:
    pools.bind(tx, "cats", BOUND)
    with pytest.raises(UserError) as caught:
        pools.bind(tx, "cats", replace(BOUND, **{field: value}))
    message = str(caught.value)
    assert message.startswith(
        f"Pool 'cats' is bound to {field} '{getattr(BOUND, field)}' since its first use, and now asks for '{value}'."
    )
    assert message.endswith("Set it back, or declare a new pool; nothing was sent.")
    assert pools.binding(tx, "cats") == BOUND


def test_the_encoder_that_serves_is_the_one_last_set(tx: Transaction) -> None:
    assert (pools.serving(tx, "cats"), pools.encoder_id(tx, "cats")) == (None, None)
    assert pools.serving(tx, "unheard of") is None
    pools.use_encoder(tx, "cats", "a/b", "ab-1")
    add_images(tx, "a")
    pools.use_encoder(tx, "cats", "c/d", "cd-1")
    assert (pools.serving(tx, "cats"), pools.encoder_id(tx, "cats")) == (("c/d", "cd-1"), "cd-1")
    # The vectors of the one before stay.
    assert images.embedded(tx, "cats", ENCODER) == [digest("a")]


def test_only_a_change_of_the_serving_encoder_is_noted(tx: Transaction) -> None:
    for name in ("a/b", "a/b", "local-dir:/models/ab"):
        pools.use_encoder(tx, "cats", name, "ab-1")
    assert tx.notes == ["cats: vectors of ab-1 serve"] * 2
    assert pools.serving(tx, "cats") == ("local-dir:/models/ab", "ab-1")
