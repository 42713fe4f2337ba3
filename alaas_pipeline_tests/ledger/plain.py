"""Pools, rounds, credits and effects as plain values: what the ledger is compared with."""

from dataclasses import dataclass, field

POOLS = ("cats", "dogs")
GIVEN_UP = ("refused", "canceled", "archived")


@dataclass
class Operation:
    """Credits that were set aside: `posted` is None while the reservation is open."""

    reserved: int
    posted: int | None = None
    refunded: int = 0


@dataclass
class Effect:
    """One effect of a round."""

    state: str = "intended"
    sends: int = 0
    uid: str | None = None

    @property
    def settled(self) -> bool:
        return self.state in ("done", "adopted")


@dataclass
class Round:
    """One round: names of its picks, who decided what, its effects."""

    key: str
    state: str = "open"
    picks: list[str] = field(default_factory=list)
    quoted: bool = False
    decision: str | None = None
    sent: list[str] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)
    effects: dict[str, Effect] = field(default_factory=dict)
    retries: int = 0

    @property
    def billed(self) -> bool:
        return "approve" in self.effects and self.effects["approve"].settled

    @property
    def maybe_billed(self) -> bool:
        made = self.effects.get("approve")
        return made is not None and (made.settled or (made.sends > 0 and made.state != "failed"))


@dataclass
class Pool:
    """One pool: its images, which part holds the vector of each, its credits and rounds."""

    granted: int = 0
    names: list[str] = field(default_factory=list)
    part: dict[str, str] = field(default_factory=dict)
    operations: dict[str, Operation] = field(default_factory=dict)
    rounds: list[Round] = field(default_factory=list)

    @property
    def reserved(self) -> int:
        return sum(one.reserved for one in self.operations.values() if one.posted is None)

    @property
    def spent(self) -> int:
        return sum((one.posted or 0) - one.refunded for one in self.operations.values())

    @property
    def spendable(self) -> int:
        return self.granted - self.reserved - self.spent

    @property
    def picked(self) -> set[str]:
        return {name for one in self.rounds for name in one.picks}

    @property
    def to_embed(self) -> list[str]:
        return [name for name in self.names if name not in self.part]

    def void(self, prefix: str) -> None:
        for name, one in self.operations.items():
            if name.startswith(prefix) and one.posted is None:
                one.posted = 0


@dataclass
class Model:
    """All of it; `lost` when commits were lost that nobody reconciled."""

    pools: dict[str, Pool] = field(default_factory=lambda: {key: Pool() for key in POOLS})
    lost: bool = False

    def accepted(self, *keys: str) -> int:
        """Images that were accepted and not given up before they may have been billed."""
        return sum(
            len(one.picks)
            for key in keys
            for one in self.pools[key].rounds
            if one.decision == "accepted" and (one.state not in GIVEN_UP or one.maybe_billed)
        )
