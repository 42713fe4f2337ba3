"""A local Avala server: the same HTTP calls on a loopback socket, state on disk, simulated annotators.

It stands apart from the rest of the project: it imports nothing of it, so that a misreading of the contract
in the client cannot be repeated here. Anything that Avala itself does not have lives under ``/_sandbox/``: the
logs of effects and of requests, faults by rule (`faults`), and changes behind the client's back.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from alaas_pipeline.sandbox.errors import SandboxError
    from alaas_pipeline.sandbox.server import run
    from alaas_pipeline.sandbox.settings import Settings

__all__ = ["SandboxError", "Settings", "run"]


def __getattr__(name: str) -> Any:
    # The web framework takes half a second to load: nobody who merely imports the package pays for it.
    if name == "Settings":
        from alaas_pipeline.sandbox.settings import Settings

        return Settings
    if name == "SandboxError":
        from alaas_pipeline.sandbox.errors import SandboxError

        return SandboxError
    if name == "run":
        from alaas_pipeline.sandbox.server import run

        return run
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
