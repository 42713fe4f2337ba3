"""Images to vectors to picks. Knows no Dagster, no HTTP and no database.

The names below are loaded on first use, so that importing the package costs nothing:

    from alaas_pipeline.engine import select
    selection = select(ids, vectors, 50)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alaas_pipeline.engine.aims import Aims, Cap
    from alaas_pipeline.engine.duplicates import near_duplicates
    from alaas_pipeline.engine.encoder import DEFAULT_ENCODER, Encoder, load_encoder
    from alaas_pipeline.engine.picks import STRATEGIES, Pick, PoolExhausted, Selection
    from alaas_pipeline.engine.select import select

__all__ = [
    "DEFAULT_ENCODER",
    "STRATEGIES",
    "Aims",
    "Cap",
    "Encoder",
    "Pick",
    "PoolExhausted",
    "Selection",
    "load_encoder",
    "near_duplicates",
    "select",
]

_HOMES = {
    "near_duplicates": "duplicates",
    "Aims": "aims",
    "Cap": "aims",
    "DEFAULT_ENCODER": "encoder",
    "Encoder": "encoder",
    "load_encoder": "encoder",
    "STRATEGIES": "picks",
    "Pick": "picks",
    "PoolExhausted": "picks",
    "Selection": "picks",
}


def __getattr__(name: str) -> Any:
    """Imports the module that holds a public name when the name is first asked for."""
    if name == "select":
        # The module of that name is callable, so this stays one thing whichever is imported first.
        return import_module("alaas_pipeline.engine.select")
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"alaas_pipeline.engine.{_HOMES[name]}"), name)
