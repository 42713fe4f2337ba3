"""Money as whole millionths of a currency unit, so that sums are exact."""

from decimal import ROUND_HALF_EVEN, Decimal

MICROS = 1_000_000


def to_micros(amount: Decimal) -> int:
    """Return `amount` in millionths.

    Raises:
        ValueError: `amount` is not finite or is finer than a millionth.
    """
    micros = amount * MICROS
    if not micros.is_finite() or micros != micros.to_integral_value():
        raise ValueError(f"{amount} is finer than a millionth")
    return int(micros)


def show_money(micros: int, currency: str) -> str:
    """Write an amount for people: two decimals, more only where they are needed."""
    amount = Decimal(micros) / MICROS
    cents = amount.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
    return f"{cents if cents == amount else amount.normalize():f} {currency}"
