"""Limiters, and what servers announce to them."""

from pathlib import Path

from pydantic import SecretStr

from alaas_pipeline.avala.errors import RateLimited
from alaas_pipeline.avala.limiter import Limiter
from alaas_pipeline.avala.retry import Timing
from alaas_pipeline_tests.avala.conftest import KEY

ORIGIN = "https://api.example.test:443"
NOT_AT_ALL = 0.0


def limiter(folder: Path | None, timing: Timing | None = None, origin: str = ORIGIN, key: str = KEY) -> Limiter:
    return Limiter(folder, origin, SecretStr(key), timing or Timing())


def announced(limit: object, remaining: object = None, reset: object = None) -> dict[str, str]:
    values = {"Limit": limit, "Remaining": remaining, "Reset": reset}
    return {f"X-RateLimit-{name}": str(value) for name, value in values.items() if value is not None}


def refused(one: Limiter, longest_s: float = NOT_AT_ALL) -> float | None:
    """Seconds after which to come back, or None when a permit was given."""
    try:
        one.wait(longest_s)
    except RateLimited as error:
        return error.retry_after
    return None
