"""The effect journal: what we are about to do on somebody else's server, written before it is sent.

An effect goes `intended` → `done` (our request was answered) or `adopted` (we found that it had happened). `failed` means refused for good
reasons that a person can mend, or that what it made is of no use any more; the operation is tried again. `needs_person` means that what was
found is ambiguous.

Kinds on Avala: `upload` (presign and send the files), `dataset` (finalise), `clone`, `approve`, `export`, and the changes of status `pause`,
`resume`, `cancel`, `archive`. An effect on a whole pool has no round: `dataset_export`, and what a hosted pool service would have.
"""

import uuid
from dataclasses import dataclass

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.database import Transaction, now

AVALA = "avala"
SETTLED = ("done", "adopted")
# The state of a round that the newest settled effect of a kind speaks for, the furthest first.
_SPEAKS_FOR = (("export", "exported"), ("approve", "approved"), ("clone", "cloned"), ("dataset", "uploaded"))


@dataclass(frozen=True)
class Effect:
    """One operation on a remote service. `sends` counts requests that may have reached it."""

    operation_id: str
    service: str
    pool: str
    round: str | None
    kind: str
    attempt: int
    remote_name: str
    payload_digest: str
    state: str
    remote_uid: str | None
    sends: int
    message: str | None
    intended_at: str
    updated_at: str

    @property
    def settled(self) -> bool:
        """Whether the effect is known to have happened."""
        return self.state in SETTLED

    @property
    def may_have_happened(self) -> bool:
        """Whether it is settled, or a request of it left and nobody knows what came of it."""
        return self.settled or (self.sends > 0 and self.state != "failed")

    @property
    def spent(self) -> bool:
        """Whether it happened and what it made is of no use any more: the next attempt is an operation of its own."""
        return self.state == "failed" and self.remote_uid is not None

    @property
    def subject(self) -> str:
        """The round, or the pool, that the effect is about."""
        return self.round or self.pool


_COLUMNS = ", ".join(Effect.__dataclass_fields__)


def intend(
    tx: Transaction,
    pool: str,
    round_key: str | None,
    kind: str,
    remote_name: str,
    payload_digest: str,
    attempt: int = 1,
    service: str = AVALA,
) -> Effect:
    """Write the intent, or return the one that is there.

    Raises:
        UserError: the operation was intended before with another payload.
    """
    found = find(tx, round_key or pool, kind, attempt, service)
    if found is None:
        at = now()
        tx.insert(
            "effects",
            [
                {
                    "operation_id": str(uuid.uuid4()), "service": service, "pool": pool, "round": round_key, "kind": kind,
                    "attempt": attempt, "remote_name": remote_name, "payload_digest": payload_digest, "state": "intended", "sends": 0,
                    "intended_at": at, "updated_at": at,
                }
            ],
        )  # fmt: skip
        found = find(tx, round_key or pool, kind, attempt, service)
        assert found is not None
        tx.note(f"{found.subject}: {kind} {attempt} intended as '{remote_name}'")
    if (found.payload_digest, found.remote_name) != (payload_digest, remote_name):
        raise UserError(
            f"{'Round' if round_key else 'Pool'} {found.subject}: '{kind}' was begun for '{found.remote_name}' and is now asked for with other contents. Nothing was sent; "
            "restore the ledger, or refuse the round and open the next one."
        )
    return found


def find(tx: Transaction, subject: str, kind: str, attempt: int | None = None, service: str = AVALA) -> Effect | None:
    """Return a round's (or pool's) effect of that kind, the newest attempt unless told, or None."""
    row = tx.row(
        f"SELECT {_COLUMNS} FROM effects WHERE coalesce(round, pool) = ? AND kind = ? AND service = ? "
        "AND attempt = coalesce(?, attempt) ORDER BY attempt DESC LIMIT 1",
        subject, kind, service, attempt,
    )  # fmt: skip
    return Effect(**row) if row else None


def of_pool(tx: Transaction, pool: str) -> list[Effect]:
    """Return all effects of a pool, in the order in which they were intended."""
    return [
        Effect(**row) for row in tx.rows(f"SELECT {_COLUMNS} FROM effects WHERE pool = ? ORDER BY intended_at", pool)
    ]


def sending(tx: Transaction, effect: Effect) -> None:
    """Note that a request is about to leave: whatever was certain of an earlier one is so no more."""
    tx.run(
        "UPDATE effects SET state = 'intended', sends = sends + 1, updated_at = ? WHERE operation_id = ?",
        now(), effect.operation_id,
    )  # fmt: skip
    tx.note(f"{effect.subject}: {effect.kind} {effect.attempt} is about to be sent")


def settle(
    tx: Transaction, effect: Effect, state: str, *, remote_uid: str | None = None, message: str | None = None
) -> None:
    """Write how the effect ended."""
    tx.run(
        "UPDATE effects SET state = ?, remote_uid = coalesce(?, remote_uid), message = ?, updated_at = ? WHERE operation_id = ?",
        state, remote_uid, message, now(), effect.operation_id,
    )  # fmt: skip
    tx.note(f"{effect.subject}: {effect.kind} {effect.attempt} {state}" + (f" ({remote_uid})" if remote_uid else ""))


def remote_uid(tx: Transaction, round_key: str, kind: str) -> str | None:
    """Return the remote object's uid of the newest effect of that kind; None when there is none or it is of no use any more."""
    found = find(tx, round_key, kind)
    return found.remote_uid if found and not found.spent else None


def furthest(tx: Transaction, round_key: str) -> str:
    """Return the state that the round's effects speak for: the settled ones, and an export, which only a finished project is asked for."""
    for kind, state in _SPEAKS_FOR:
        effect = find(tx, round_key, kind)
        if effect and effect.settled:
            return state
        if effect and kind == "export":
            return "labelled"
    return "quoted"
