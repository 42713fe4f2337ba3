"""Mistakes that can be planted into a driven pipeline, to see that they are found."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from alaas_pipeline.avala import transport
from alaas_pipeline.avala.effects import acting, approval
from alaas_pipeline.ledger import quotes
from alaas_pipeline_tests.faults import lying_driven


def _blind() -> None:
    """Every look finds nothing."""
    acting.Acting._look = lambda self, look, *, patient: None  # type: ignore[method-assign]


def _unasked() -> None:
    """Nobody needs to say yes."""

    def accepted(tx: Any, round_key: str) -> Any:
        quote = quotes.find(tx, round_key)
        assert quote is not None
        return SimpleNamespace(quote_digest=quote.digest, images=quote.images, decided_by="nobody")

    approval._accepted = accepted
    lying_driven.apply_policy = lambda *_: (SimpleNamespace(decision="accepted"), "")  # type: ignore[assignment]


def _stubborn() -> None:
    """Whatever fails is sent again."""
    transport.nothing_happened = transport.passing


PLANTS: dict[str, Callable[[], None]] = {"blind": _blind, "unasked": _unasked, "stubborn": _stubborn}
