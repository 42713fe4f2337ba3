from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alaas_pipeline.money import show_money, to_micros
from alaas_pipeline_tests.builders import STEADY


@pytest.mark.parametrize(
    ("amount", "micros"),
    [("0", 0), ("0.05", 50_000), ("2.50", 2_500_000), ("0.000001", 1), ("1E+3", 1_000_000_000), ("0.1", 100_000)],
)
def test_to_micros(amount: str, micros: int) -> None:
    assert to_micros(Decimal(amount)) == micros


@pytest.mark.parametrize("amount", ["0.0000001", "0.0500005", "NaN", "Infinity"])
def test_to_micros_refuses_what_it_cannot_hold(amount: str) -> None:
    with pytest.raises(ValueError, match="finer than a millionth"):
        to_micros(Decimal(amount))


@pytest.mark.parametrize(
    ("micros", "shown"),
    [
        (0, "0.00 USD"),
        (2_500_000, "2.50 USD"),
        (10_000_000, "10.00 USD"),
        (1_000_000_000, "1000.00 USD"),
        (75_000, "0.075 USD"),
        (1, "0.000001 USD"),
        (1_000_010, "1.00001 USD"),
    ],
)
def test_show_money_writes_more_digits_only_where_needed(micros: int, shown: str) -> None:
    assert show_money(micros, "USD") == shown


@STEADY
@given(st.integers(0, 10**14))
def test_what_is_shown_is_the_exact_amount(micros: int) -> None:
    assert to_micros(Decimal(show_money(micros, "EUR").removesuffix(" EUR"))) == micros
