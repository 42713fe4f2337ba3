"""One pool on a real sandbox, without engine and Dagster: a ledger with a quoted round of tiny pictures, and the effects on it."""

import functools
import hashlib
import io
import itertools
import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any, get_args

import pytest
from PIL import Image
from pydantic import SecretStr

from alaas_pipeline.alaas import reconcile
from alaas_pipeline.alaas.quote import quote
from alaas_pipeline.alaas.reconcile import Plan
from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects import AvalaEffects, ProjectAction
from alaas_pipeline.avala.names import remote_name
from alaas_pipeline.avala.observe import observe_export, observe_project
from alaas_pipeline.avala.retry import RetryPolicy
from alaas_pipeline.avala.steering import Action, steer
from alaas_pipeline.avala.writes import AvalaWrites
from alaas_pipeline.home import Home
from alaas_pipeline.labels.land import land
from alaas_pipeline.ledger import Ledger, images, journal, pools, quotes, rounds, selections
from alaas_pipeline.ledger.journal import Effect
from alaas_pipeline.ledger.quotes import Quote
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.ledger.selections import PickedImage
from alaas_pipeline.store import Store
from alaas_pipeline_tests.builders import TEMPLATE, pool_settings
from alaas_pipeline_tests.sandbox_process import API_KEY, SandboxProcess

OWNER = "sandbox-team"
# The paths that an effect is sent to, as regular expressions over a whole path.
FINALISE = "/api/v1/datasets/manual-upload/"
CLONE = "/api/v1/projects/create-from-existing/"
APPROVE = "/api/v1/projects/[^/]+/approve/"
EXPORT = "/api/v1/exports/"
PATHS = {"dataset": FINALISE, "clone": CLONE, "approve": APPROVE, "export": EXPORT} | {
    action: f"/api/v1/projects/[^/]+/{action}/" for action in get_args(ProjectAction)
}
# What the sandbox's log of effects calls them.
LOGGED = {kind: kind for kind in PATHS} | {"dataset": "finalise"}

_colours = itertools.count(1)


def picture() -> bytes:
    """A PNG of 4 x 3 pixels, another one at each call."""
    number, buffer = next(_colours) + (os.getpid() << 12), io.BytesIO()
    colour = (number & 255, number >> 8 & 255, number >> 16 & 255)
    Image.new("RGB", (4, 3), colour).save(buffer, "PNG")
    return buffer.getvalue()


class Bench:
    """One installation with one pool, whose name nobody else on the sandbox has."""

    def __init__(self, root: Path, sandbox: SandboxProcess, pool: str, empty_ledger: Path) -> None:
        self.sandbox, self.pool = sandbox, pool
        self.home = Home(root)
        root.mkdir(parents=True)
        shutil.copy(empty_ledger, self.home.ledger)
        self.ledger = Ledger(self.home.ledger)
        self.store = Store(str(self.home.files))
        self.service = PoolService(self.ledger, self.store, self.home)
        self.settings = pool_settings(name=pool, key=pool, avala={"owner": OWNER, "template": TEMPLATE})
        self.client = self.connect()
        self.bytes: dict[str, bytes] = {}
        self.began = max((row["n"] for row in sandbox.requests()), default=0)

    def connect(self, key: str = API_KEY, timeout_s: float = 5.0, **retry: Any) -> AvalaClient:
        """Return a client that gives up soon."""
        policy = RetryPolicy(**{"attempts": 3, "base_s": 0.01, "longest_wait_s": 2.0, **retry})
        return AvalaClient(
            self.sandbox.base_url, SecretStr(key), allow_insecure_loopback=True, timeout_s=timeout_s, retry=policy
        )

    def effects(self, client: AvalaClient | None = None, **changes: Any) -> AvalaEffects:
        """Return the effects, which settle for almost no waiting unless told otherwise."""
        times = {"index_wait_s": 5.0, "settle_s": 0.1, "pause_s": 0.02}
        return AvalaEffects(self.ledger, client or self.client, self.home.locks, **{**times, **changes})

    def open_round(self, *pictures: bytes) -> str:
        """Open the next round with these pictures as its picks, two new ones unless told otherwise, and price it."""
        made = {hashlib.sha256(data).hexdigest(): data for data in pictures or (picture(), picture())}
        self.bytes |= made
        names = {digest: f"cats/{digest[:8]}.png" for digest in made}
        files = [
            {"path": name, "digest": digest, "bytes": len(made[digest]), "version": "1", "reason": None}
            for digest, name in names.items()
        ]
        rows = [
            {
                "digest": digest, "image_id": name, "bytes": len(made[digest]), "state": "accepted", "reason": None, "unfit_reason": None,
                "format": "png", "mode": "RGB", "width": 4, "height": 3, "shown_width": 4, "shown_height": 3, "frames": 1,
            }
            for digest, name in names.items()
        ]  # fmt: skip
        picks = [
            PickedImage(digest, "representative", 0.5, 1, None, None, "Newly represents 1 image.") for digest in made
        ]
        with self.ledger.transaction() as tx:
            pools.ensure(tx, self.pool, self.pool)
            pools.use_encoder(tx, self.pool, "tiny", "tiny-1")
            images.record_scan(tx, self.pool, files, rows, [])
            key = rounds.open_next(tx, self.settings).key
            selections.record(tx, self.pool, key, picks, "coverage", "tiny-1", {})
            rounds.advance(tx, key, "selected")
        quote(self.ledger, key)
        return key

    def read(self, digest: str) -> bytes:
        """The bytes of a picture."""
        return self.bytes[digest]

    def quote(self, key: str) -> Quote:
        """The round's quote."""
        with self.ledger.transaction() as tx:
            found = quotes.find(tx, key)
        assert found is not None
        return found

    def accept(self, key: str) -> None:
        """Say yes to the round's quote."""
        digest = self.quote(key).digest
        with self.ledger.transaction() as tx:
            quotes.accept(tx, key, digest, "Ada")

    def perform(self, kind: str, key: str, **changes: Any) -> Any:
        """Do one effect of the round: dataset, clone, approve, export, pause, resume, cancel or archive."""
        effects = self.effects(**changes)
        does = {
            "dataset": functools.partial(effects.push_dataset, key, self.read),
            "clone": functools.partial(effects.clone_project, key),
            "approve": functools.partial(effects.approve, key),
            "export": functools.partial(effects.request_export, key),
        }
        return does[kind]() if kind in does else effects.change_status(key, kind, "Ada")  # type: ignore[arg-type]

    def bring(self, key: str, until: str) -> None:
        """Do everything that comes before an effect of that kind, wherever the round is; `landed` brings it to its end."""
        done = {"quoted": "", "uploaded": "dataset", "cloned": "clone", "approved": "approve"}[self.state(key)]
        order = ("", "dataset", "clone", "approve", "export", "landed")
        until = {"pause": "export", "cancel": "export"}.get(until, until)
        for kind in order[order.index(done) + 1 : order.index(until)]:
            if kind == "export":
                self.finish(key)
            if kind == "approve":
                self.accept(key)
            self.perform(kind, key)
        if until == "landed":
            self.land(key)

    def die_after(self, kind: str, key: str) -> None:
        """Do one effect and die before the ledger knows of the answer."""
        settle = journal.settle

        def die(tx: Any, effect: Effect, state: str, **more: Any) -> None:
            if effect.kind == kind:
                raise KeyboardInterrupt
            settle(tx, effect, state, **more)

        with pytest.MonkeyPatch.context() as patched:
            patched.setattr(journal, "settle", die)
            with pytest.raises(KeyboardInterrupt):
                self.perform(kind, key)

    def planted_dataset(self, key: str, *files: str, name: str = "") -> str:
        """Make a dataset of other pictures on the sandbox, under the name of the round's unless told otherwise; return its name."""
        name = name or remote_name(key, self.quote(key).manifest_digest)
        batch, writes = str(uuid.uuid4()), AvalaWrites(self.client)
        for file in files:
            data = picture()
            slot = writes.presign(name, file, len(data), batch)
            writes.send_file(slot, data, file, "image/png")
            writes.complete_upload(slot.upload_uid)  # type: ignore[union-attr]
        writes.finalise(name, name, "image", batch)
        return name

    def finish(self, key: str) -> Round:
        """Let the annotators finish the round's project, and take it in."""
        uid = self.effect(key, "clone").remote_uid
        assert uid is not None
        self.sandbox.finish(uid)
        return observe_project(self.ledger, self.client, key)

    def land(self, key: str) -> None:
        """Land the round's export once it is ready."""
        while land(self.ledger, self.store, self.client, key) is None:
            pass

    def by_hand(self, key: str, status: str) -> None:
        """Give the round's project a status as a person does in Avala's own pages; `deleted` deletes it, other words are written as they are."""
        uid = self.uid(key, "clone")
        if status == "deleted":
            self.sandbox.delete("project", uid)
        elif status in ("active", "paused", "canceled", "archived", "completed"):
            self.sandbox.set_status(uid, status)
        else:
            self.write("UPDATE projects SET status = ? WHERE uid = ?", status, uid)

    def slow_export(self, key: str, reads: int) -> None:
        """Let so many further looks find the round's export unfinished."""
        uid = self.uid(key, "export")
        self.write("UPDATE exports SET status = 'processing', reads_left = ? WHERE uid = ?", reads, uid)

    def look_at_export(self, key: str) -> Any:
        """Look once at the round's export."""
        return observe_export(self.ledger, self.client, key)

    def steer(self, key: str, action: str, quote: str = "", by: str = "Ada") -> str:
        """Say something about the round, as people do."""
        return steer(self.ledger, self._connected, key, Action(action), by, quote)

    def compare(self) -> Plan:
        """Compare ledger, platform and files; nothing may be sent by it or change in the ledger."""
        sent, commits = len(self.sent()), self.commits()
        plan = reconcile.compare(self.service, self.effects(look_only=True), self.settings)
        assert (len(self.sent()), self.commits()) == (sent, commits)
        return plan

    def mend(self) -> list[str]:
        """Do what is safe, as `reconcile --apply` does; nothing may be sent by it."""
        sent, plan = len(self.sent()), self.compare()
        told = reconcile.apply(self.service, plan)
        assert len(self.sent()) == sent
        return told

    def commits(self) -> int:
        """How many transactions have changed the ledger."""
        with self.ledger.transaction() as tx:
            return tx.value("SELECT number FROM commits")

    def round(self, key: str) -> Round:
        with self.ledger.transaction() as tx:
            return rounds.get(tx, key)

    def state(self, key: str) -> str:
        return self.round(key).state

    def note(self, key: str) -> str:
        return self.round(key).note or ""

    def effect(self, key: str, kind: str) -> Effect:
        """The newest effect of that kind in the journal."""
        with self.ledger.transaction() as tx:
            found = journal.find(tx, key, kind)
        assert found is not None, f"{key} has no {kind}"
        return found

    def uid(self, key: str, kind: str) -> str:
        found = self.effect(key, kind).remote_uid
        assert found is not None
        return found

    def made(self, kind: str) -> int:
        """How often an effect of that kind came true on the sandbox, under names of this pool."""
        logged = self.sandbox.effects(LOGGED[kind])
        return sum(row["name"].startswith(f"alaas-{self.pool}-") for row in logged)

    def sent(self, kind: str | None = None) -> list[dict[str, Any]]:
        """Requests that want a change, to the API and not to the storage, since the test began; of one kind if it is given."""
        pattern = re.compile(PATHS[kind] if kind else "/api/v1/.*")
        return [row for row in self.sandbox.requests(self.began) if pattern.fullmatch(row["path"])]

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def write(self, sql: str, *values: object) -> None:
        """Change the sandbox's state where no route does."""
        with closing(sqlite3.connect(f"{self.sandbox.state}/sandbox.sqlite")) as state, state:
            state.execute(sql, values)

    def _connected(self) -> AbstractContextManager[AvalaEffects]:
        return nullcontext(self.effects())


_pools = itertools.count(1)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SandboxProcess]:
    """A sandbox for all tests of a file; what they make there differs by its pool."""
    with SandboxProcess() as process:
        process.start(tmp_path_factory.mktemp("server"), truth="subfolder", pace=3600, creating_reads=0, export_reads=0)
        yield process


@pytest.fixture(scope="session")
def empty_ledger(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A ledger with nothing in it, to be copied: making one takes longer than many tests."""
    path = tmp_path_factory.mktemp("ledger") / "ledger.duckdb"
    with Ledger(path).transaction():
        pass
    return path


@pytest.fixture
def bench(server: SandboxProcess, tmp_path: Path, empty_ledger: Path) -> Iterator[Bench]:
    """A pool of its own on the file's sandbox, whose faults are forgotten afterwards."""
    with Bench(tmp_path / "home", server, f"pool{next(_pools)}", empty_ledger) as made:
        yield made
    server.clear_faults()
