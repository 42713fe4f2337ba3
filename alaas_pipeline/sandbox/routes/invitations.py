"""Invitations to an organization. They are remembered and listed; nothing is mailed and nobody can accept one."""

import sqlite3
import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import Field, StringConstraints

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, Box, BoxOf
from alaas_pipeline.sandbox.errors import bad_fields, not_found
from alaas_pipeline.sandbox.paging import numbered_page
from alaas_pipeline.sandbox.routes.fields import Body
from alaas_pipeline.sandbox.state import iso, log_effect, new_uid

router = APIRouter(prefix="/organizations", tags=["organizations"])

LIFETIME_S = 7 * 86_400

COLUMNS = "SELECT i.*, o.name, o.slug FROM invitations i JOIN organizations o ON o.uid = i.organization_uid"


class InvitationBody(Body):
    """Who is invited, and as what."""

    email: Annotated[str, Field(max_length=254), StringConstraints(pattern=r"^[^@\s/]+@[^@\s/]+\.[^@\s/]+$")]
    role: Annotated[str, StringConstraints(pattern=r"^[a-z_-]{1,32}$")] = "member"


@router.post("/{slug}/invitations/", status_code=201)
def invite(slug: str, body: InvitationBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Invites somebody by e-mail address."""
    organization = _organization(actor, slug)
    uid = new_uid()
    with box.state.transaction() as con:
        known = con.execute(
            "SELECT 1 FROM invitations WHERE organization_uid = ? AND email = ?", (organization, body.email)
        ).fetchone()
        if known is not None:
            raise bad_fields(email="This address is invited already.")
        con.execute(
            "INSERT INTO invitations (uid, organization_uid, email, role, invited_by, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?)",
            (uid, organization, body.email, body.role, actor.username, time.time()),
        )
        log_effect(con, "invite", "POST", request.url.path, uid, body.email, 201, organization=slug, role=body.role)
        return _show(box, con.execute(f"{COLUMNS} WHERE i.uid = ?", (uid,)).fetchone())


@router.get("/{slug}/invitations/")
def list_invitations(slug: str, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Invitations of an organization, newest first, by page number."""
    actor.need("organizations.read")
    organization = _organization(actor, slug)
    with box.state.transaction() as con:
        rows = con.execute(f"{COLUMNS} WHERE i.organization_uid = ? ORDER BY i.seq DESC", (organization,)).fetchall()
    return numbered_page(request, rows, lambda row: _show(box, row))


def _organization(actor: Actor, slug: str) -> str:
    if slug not in actor.organizations:
        raise not_found()
    return actor.organizations[slug]


def _show(box: Box, row: sqlite3.Row) -> dict[str, Any]:
    ends = row["created_at"] + LIFETIME_S
    shown = {
        "uid": row["uid"],
        "organization_name": row["name"],
        "organization_slug": row["slug"],
        "invited_email": row["email"],
        "invited_by_username": row["invited_by"],
        "role": row["role"],
        "status": "pending",
        "expires_at": iso(ends),
        "is_expired": time.time() > ends,
        "created_at": iso(row["created_at"]),
    }
    return shown | ({"email": row["email"]} if box.settings.member_shape == "nested" else {})
