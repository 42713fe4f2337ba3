"""Users and organizations, as far as a setup check needs them."""

import sqlite3
from typing import Any

from fastapi import APIRouter, Request

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf
from alaas_pipeline.sandbox.errors import not_found
from alaas_pipeline.sandbox.paging import numbered_page
from alaas_pipeline.sandbox.state import iso

router = APIRouter()


@router.get("/users/me/", tags=["users"])
def me(actor: ActorOf) -> dict[str, str]:
    """The user behind the key. The uid was minted with the state: it tells one sandbox from another."""
    return {"uid": actor.uid, "username": actor.username, "email": actor.email}


@router.get("/users/@{email}/", tags=["users"])
def by_email(email: str, box: BoxOf, actor: ActorOf) -> dict[str, str]:
    """A user by e-mail address."""
    with box.state.transaction() as con:
        row = con.execute("SELECT uid, username, email FROM users WHERE email = ?", (email,)).fetchone()
    if row is None:
        raise not_found()
    return dict(row)


@router.get("/organizations/", tags=["organizations"])
def organizations(request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """The user's organizations, by page number, with the plan that decides over approval."""
    actor.need("organizations.read")
    with box.state.transaction() as con:
        return numbered_page(request, _mine(con, actor), lambda row: _show(row, actor))


@router.get("/organizations/{slug}/", tags=["organizations"])
def organization(slug: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One organization."""
    actor.need("organizations.read")
    with box.state.transaction() as con:
        for row in _mine(con, actor):
            if row["slug"] == slug:
                return _show(row, actor)
    raise not_found()


@router.get("/organizations/{slug}/members/", tags=["organizations"])
def members(slug: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Members of an organization, by page number."""
    actor.need("organizations.read")
    if slug not in actor.organizations:
        raise not_found()
    with box.state.transaction() as con:
        rows = con.execute(
            "SELECT u.*, m.role FROM members m JOIN users u ON u.uid = m.user_uid WHERE m.organization_uid = ? "
            "ORDER BY u.created_at",
            (actor.organizations[slug],),
        ).fetchall()
    return numbered_page(request, rows, lambda row: _show_member(box, row))


def _mine(con: sqlite3.Connection, actor: Actor) -> list[sqlite3.Row]:
    return con.execute(
        "SELECT o.*, m.role, (SELECT count(*) FROM members c WHERE c.organization_uid = o.uid) AS member_count "
        "FROM organizations o JOIN members m ON m.organization_uid = o.uid WHERE m.user_uid = ? ORDER BY o.seq",
        (actor.uid,),
    ).fetchall()


def _show(row: sqlite3.Row, actor: Actor) -> dict[str, Any]:
    return {
        "uid": row["uid"],
        "name": row["name"],
        "slug": row["slug"],
        "plan": actor.plan,
        "role": row["role"],
        "member_count": row["member_count"],
        "created_at": iso(row["created_at"]),
    }


def _show_member(box: Box, row: sqlite3.Row) -> dict[str, Any]:
    shown = {
        "user_uid": row["uid"],
        "username": row["username"],
        "email": row["email"],
        "full_name": row["username"],
        "picture": None,
        "role": row["role"],
    }
    user = {"uid": row["uid"], "username": row["username"], "email": row["email"]}
    return shown | ({"user": user} if box.settings.member_shape == "nested" else {})
