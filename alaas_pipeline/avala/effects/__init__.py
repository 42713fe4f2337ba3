"""Everything we change on Avala: intend, look, act, look, write the result.

Avala has no idempotency keys. So each effect is written to the ledger before it is sent, under a name that only this round with these images
can have; a lost answer, a crash or a taken name ends in looking for that name and adopting what is ours. Nothing else in the project sends a
request that changes something.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects.acting import Acting, NeedsPerson, NothingToAdopt
from alaas_pipeline.avala.effects.approval import approve
from alaas_pipeline.avala.effects.dataset import push_dataset
from alaas_pipeline.avala.effects.export import refresh_export, request_export
from alaas_pipeline.avala.effects.project import clone_project
from alaas_pipeline.avala.effects.status import change_status
from alaas_pipeline.avala.models import Dataset, Export, Project
from alaas_pipeline.avala.writes import AvalaWrites, ProjectAction
from alaas_pipeline.ledger import Ledger
from alaas_pipeline.ledger.rounds import Round

__all__ = ["AvalaEffects", "NeedsPerson", "NothingToAdopt", "ProjectAction"]


@dataclass
class AvalaEffects:
    """The effects of rounds. Only one process at a time works on a round; another one waits and then finds it done.

    Args:
        ledger: where intents and results are written.
        client: reads of the platform.
        locks: the folder of lock files.
        look_only: adopt what is there, and raise `NothingToAdopt` instead of sending anything.
        index_wait_s: how long a new dataset may take to be indexed before the run gives up (a later run goes on).
        settle_s: how long something that may have happened is looked for before it counts as not there.
        pause_s: how long to wait between looks, and before an upload is tried again.
    """

    ledger: Ledger
    client: AvalaClient
    locks: Path
    look_only: bool = False
    index_wait_s: float = 600.0
    settle_s: float = 15.0
    pause_s: float = 1.0

    def __post_init__(self) -> None:
        self._acting = Acting(
            self.ledger, self.client, AvalaWrites(self.client), self.locks, self.look_only, self.index_wait_s, self.settle_s, self.pause_s
        )  # fmt: skip

    def alone(self, round_key: str) -> AbstractContextManager[Round]:
        """Keep other processes away from the round while the block runs; no effect may be asked for in it."""
        return self._acting.alone(round_key)

    def push_dataset(self, round_key: str, read: Callable[[str], bytes]) -> Dataset:
        """Upload the round's picks as one dataset and check that it holds exactly them; see `effects.dataset`."""
        return push_dataset(self._acting, round_key, read)

    def clone_project(self, round_key: str, template: str | None = None) -> Project:
        """Clone the pool's template onto the round's dataset; see `effects.project`."""
        return clone_project(self._acting, round_key, template)

    def approve(self, round_key: str) -> Project:
        """Start the billable work; see `effects.approval`."""
        return approve(self._acting, round_key)

    def change_status(self, round_key: str, action: ProjectAction, by: str) -> Round:
        """Pause, resume, cancel or archive the round's project; see `effects.status`."""
        return change_status(self._acting, round_key, action, by)

    def request_export(self, round_key: str) -> Export:
        """Ask for the export of a finished project; see `effects.export`."""
        return request_export(self._acting, round_key)

    def refresh_export(self, round_key: str) -> Export:
        """Ask for another export of a landed round; see `effects.export`."""
        return refresh_export(self._acting, round_key)
