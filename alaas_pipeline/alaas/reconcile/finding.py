"""What a comparison of ledger, platform and files finds."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

Kind = Literal[
    "in sync",
    "adopt",
    "missing remotely",
    "unknown remote object",
    "status drift",
    "money drift",
    "files",
    "credits",
    "loss",
]
# As infrastructure tools mark their plans.
MARKS: dict[Kind, str] = {
    "in sync": "=",
    "adopt": "+",
    "missing remotely": "-",
    "unknown remote object": "?",
    "status drift": "~",
    "money drift": "!",
    "files": "-",
    "credits": "!",
    "loss": "!",
}


@dataclass(frozen=True)
class Finding:
    """One thing that agrees or does not.

    Attributes:
        kind: what it is.
        subject: the round, pool or remote object.
        says: a sentence for people, with the command that helps when there is no `mend`.
        mend: what `--apply` does about it, when that is safe: it changes the ledger only, and nothing is sent or billed.
    """

    kind: Kind
    subject: str
    says: str
    mend: Callable[[], object] | None = None

    @property
    def line(self) -> str:
        """The finding as one line of the plan."""
        return f"{MARKS[self.kind]} {self.subject}: {self.kind}; {self.says}"


@dataclass(frozen=True)
class Plan:
    """All findings of one pool."""

    pool: str
    findings: tuple[Finding, ...]

    @property
    def drift(self) -> list[Finding]:
        """What does not agree."""
        return [finding for finding in self.findings if finding.kind != "in sync"]
