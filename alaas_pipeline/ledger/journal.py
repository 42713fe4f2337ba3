"""The effect journal: what we are about to do on somebody else's server, written before it is sent.

An effect goes `intended` → `done` (our request was answered) or `adopted` (we found that it had happened). `failed`
means refused for good reasons that a person can mend; the same operation is tried again. `needs_person` means that what
was found is ambiguous.
"""

import uuid
from dataclasses import dataclass

from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger.database import Transaction, now

SETTLED = ("done", "adopted")


@dataclass(frozen=True)
class Effect:
    """One operation on a remote service. `sends` counts requests that may have reached it."""

    operation_id: str
    pool: str
    round: str
    kind: str
    attempt: int
    remote_name: str
    payload_digest: str
    state: str
    remote_uid: str | None
    sends: int
    message: str | None

    @property
    def settled(self) -> bool:
        """Whether the effect is known to have happened."""
        return self.state in SETTLED


_COLUMNS = ", ".join(Effect.__dataclass_fields__)


def intend(
    tx: Transaction, pool: str, round_key: str, kind: str, remote_name: str, payload_digest: str, attempt: int = 1
) -> Effect:
    """Write the intent, or return the one that is there.

    Raises:
        UserError: the operation was intended before with another payload.
    """
    found = find(tx, round_key, kind, attempt)
    if found is None:
        at = now()
        tx.insert(
            "effects",
            [
                {
                    "operation_id": str(uuid.uuid4()), "pool": pool, "round": round_key, "kind": kind, "attempt": attempt,
                    "remote_name": remote_name, "payload_digest": payload_digest, "state": "intended", "sends": 0,
                    "intended_at": at, "updated_at": at,
                }
            ],
        )  # fmt: skip
        found = find(tx, round_key, kind, attempt)
        assert found is not None
    if (found.payload_digest, found.remote_name) != (payload_digest, remote_name):
        raise UserError(
            f"Round {round_key}: '{kind}' was begun for '{found.remote_name}' and is now asked for with other contents. Nothing was sent; "
            "restore the ledger, or refuse the round and open the next one."
        )
    return found


def find(tx: Transaction, round_key: str, kind: str, attempt: int | None = None) -> Effect | None:
    """Return the effect of that kind (the newest attempt unless told), or None."""
    row = tx.row(
        f"SELECT {_COLUMNS} FROM effects WHERE round = ? AND kind = ? AND attempt = coalesce(?, attempt) ORDER BY attempt DESC LIMIT 1",
        round_key, kind, attempt,
    )  # fmt: skip
    return Effect(**row) if row else None


def sending(tx: Transaction, effect: Effect) -> None:
    """Note that a request is about to leave."""
    tx.run("UPDATE effects SET sends = sends + 1, updated_at = ? WHERE operation_id = ?", now(), effect.operation_id)


def settle(
    tx: Transaction, effect: Effect, state: str, *, remote_uid: str | None = None, message: str | None = None
) -> None:
    """Write how the effect ended."""
    tx.run(
        "UPDATE effects SET state = ?, remote_uid = coalesce(?, remote_uid), message = ?, updated_at = ? WHERE operation_id = ?",
        state, remote_uid, message, now(), effect.operation_id,
    )  # fmt: skip


def remote_uid(tx: Transaction, round_key: str, kind: str) -> str | None:
    """Return the remote object's uid of the newest settled effect of that kind."""
    found = find(tx, round_key, kind)
    return found.remote_uid if found else None
