"""Small true values that tests of several rooms need."""

from typing import Any

from hypothesis import settings

from alaas_pipeline.config import PoolSettings

# The same examples each time, however slow the machine.
STEADY = settings(deadline=None, derandomize=True)
TEMPLATE = "00000000-0000-4000-8000-000000000001"


def pool_entry(**changes: Any) -> dict[str, Any]:
    """A pool as `pools.yaml` would hold it; a value of None takes the field away."""
    entry = {
        "name": "Cats",
        "source": "/photos/cats",
        "images_per_round": 3,
        "platform": "sandbox",
        "avala": {"owner": "sandbox-team", "template": TEMPLATE},
        "price_per_image": "0.05",
    }
    return {name: value for name, value in (entry | changes).items() if value is not None}


def pool_settings(**changes: Any) -> PoolSettings:
    """A checked pool named Cats, with the key `cats` unless told otherwise."""
    return PoolSettings.model_validate(pool_entry(**changes))
