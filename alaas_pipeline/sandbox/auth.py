"""Who is calling: API keys, plans and scopes."""

import json
import sqlite3
from dataclasses import dataclass

from alaas_pipeline.sandbox.errors import ApiError, forbidden
from alaas_pipeline.sandbox.state import State, key_digest

HEADER = "x-avala-api-key"
PAID_PLANS = ("PRO", "ENTERPRISE")


@dataclass(frozen=True)
class Actor:
    """The user behind a key, and what the key allows.

    Attributes:
        uid: the user's uid.
        username: their name, owner of what they create.
        email: their address, accepted in paths in place of the name.
        organizations: slug and uid of each organization they belong to.
        plan: BASIC, PRO or ENTERPRISE.
        scopes: what the key may do; None means everything.
        coworker: an annotator's account, which may not clone.
        staff: an account of the platform itself, which sees everything.
    """

    uid: str
    username: str
    email: str
    organizations: dict[str, str]
    plan: str
    scopes: frozenset[str] | None
    coworker: bool
    staff: bool

    @property
    def owners(self) -> tuple[str, ...]:
        """Owner names whose things this user may see and change."""
        return (self.username, *self.organizations)

    def owner_named(self, name: str) -> str | None:
        """The owner name that a path or body means by ``name``, if it is one of this user's."""
        if name == self.email:
            return self.username
        return name if name in self.owners else None

    def need(self, *scopes: str) -> None:
        """Refuses a key that holds none of these scopes.

        Raises:
            ApiError: 403 ``scope_required``.
        """
        if self.scopes is not None and not self.scopes.intersection(scopes):
            raise forbidden(f"API key is missing the required scope: {scopes[0]}.", "scope_required")


def identify(state: State, api_key: str | None) -> Actor:
    """The actor behind a key.

    Raises:
        ApiError: 401 when the key is missing, unknown or expired.
    """
    if not api_key:
        raise ApiError(401, {"detail": "Invalid API key."})
    with state.transaction() as con:
        row = con.execute(
            "SELECT k.*, u.username, u.email FROM api_keys k JOIN users u ON u.uid = k.user_uid WHERE k.digest = ?",
            (key_digest(api_key),),
        ).fetchone()
        if row is None:
            raise ApiError(401, {"detail": "Invalid API key."})
        if row["expired"]:
            raise ApiError(401, {"detail": "API key has expired."})
        return _actor(con, row)


def _actor(con: sqlite3.Connection, row: sqlite3.Row) -> Actor:
    organizations = con.execute(
        "SELECT o.slug, o.uid FROM organizations o JOIN members m ON m.organization_uid = o.uid"
        " WHERE m.user_uid = ? ORDER BY o.seq",
        (row["user_uid"],),
    ).fetchall()
    return Actor(
        uid=row["user_uid"],
        username=row["username"],
        email=row["email"],
        organizations={o["slug"]: o["uid"] for o in organizations},
        plan=row["plan"],
        scopes=None if row["scopes"] is None else frozenset(json.loads(row["scopes"])),
        coworker=bool(row["coworker"]),
        staff=bool(row["staff"]),
    )
