from dataclasses import replace

import pytest

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, images, pools
from alaas_pipeline.ledger.pools import Binding
from alaas_pipeline_tests.ledger.fill import add_images

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


def test_an_encoder_may_change_until_there_are_vectors(tx: Transaction) -> None:
    assert pools.encoder_id(tx, "cats") is None
    pools.use_encoder(tx, "cats", "a/b", "ab-1")
    pools.use_encoder(tx, "cats", "c/d", "cd-1")
    images.record_embedded(tx, "cats", "cd-1", "x", [], {"d": "no usable vector"})
    pools.use_encoder(tx, "cats", "efficientnet-lite0", "lite-1")
    add_images(tx, "a")
    with pytest.raises(
        UserError, match=r"holds 1 vectors of encoder 'tiny-1', .* asks for 'ab-1', .* nothing was charged"
    ):
        pools.use_encoder(tx, "cats", "a/b", "ab-1")
    assert pools.encoder_id(tx, "cats") == "tiny-1"


def test_another_name_for_the_same_weights_is_no_change(tx: Transaction) -> None:
    add_images(tx, "a")
    pools.use_encoder(tx, "cats", "local-dir:/models/lite0", "tiny-1")
    assert pools.known_encoder_id(tx, "cats", "local-dir:/models/lite0") == "tiny-1"
    assert pools.known_encoder_id(tx, "cats", "efficientnet-lite0") is None
