"""Webhooks and their deliveries. The secret is shown once: in the answer that makes a webhook."""

import json
import secrets
import sqlite3
import time
from typing import Annotated, Any

from fastapi import APIRouter, Request
from pydantic import AfterValidator, Field, StringConstraints

from alaas_pipeline.sandbox.auth import Actor
from alaas_pipeline.sandbox.box import ActorOf, BoxOf
from alaas_pipeline.sandbox.errors import forbidden, not_found
from alaas_pipeline.sandbox.events import EVENTS
from alaas_pipeline.sandbox.paging import cursor_page
from alaas_pipeline.sandbox.routes.fields import Body
from alaas_pipeline.sandbox.state import iso, log_effect, new_uid
from alaas_pipeline.sandbox.webhooks import new_delivery, refusal_of

router = APIRouter(tags=["webhooks"])


def _allowed(target_url: str) -> str:
    refusal = refusal_of(target_url)
    if refusal is not None:
        raise ValueError(refusal)
    return target_url


def _known(event: str) -> str:
    if event not in EVENTS:
        raise ValueError(f'"{event}" is not a valid choice: {", ".join(EVENTS)}.')
    return event


Target = Annotated[str, StringConstraints(pattern=r"^[!-~]{1,2000}$"), AfterValidator(_allowed)]
Events = Annotated[list[Annotated[str, AfterValidator(_known)]], Field(min_length=1, max_length=100)]


class WebhookBody(Body):
    """A new webhook; without a secret it is given one."""

    target_url: Target
    events: Events
    is_active: bool = True
    secret: Annotated[str, StringConstraints(pattern=r"^[!-~]{8,200}$")] | None = None


class WebhookChange(Body):
    """What is to be different."""

    target_url: Target | None = None
    events: Events | None = None
    is_active: bool | None = None


@router.post("/webhooks/", status_code=201)
def create(body: WebhookBody, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Registers a webhook of an organization's member."""
    if not actor.organizations:
        raise forbidden("You must belong to an organization to create a webhook.")
    uid, now, secret = new_uid(), time.time(), body.secret or secrets.token_hex(32)
    with box.state.transaction() as con:
        con.execute(
            "INSERT INTO webhooks (uid, owner_name, target_url, events, is_active, secret, created_at, updated_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (uid, actor.username, body.target_url, _packed(body.events), body.is_active, secret, now, now),
        )
        log_effect(con, "webhook", "POST", request.url.path, uid, None, 201, events=body.events)
        shown = _show(_own(con, actor, uid))
    box.webhooks.start()
    return shown | {"secret": secret}


@router.get("/webhooks/")
def list_webhooks(request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Webhooks, newest first."""
    with box.state.transaction() as con:
        where = ["t.owner_name = ?"]
        return cursor_page(con, request, "t.*", "webhooks t", where, [actor.username], _show, box.settings.page_size)


@router.get("/webhooks/{uid}/")
def get_webhook(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One webhook."""
    with box.state.transaction() as con:
        return _show(_own(con, actor, uid))


@router.patch("/webhooks/{uid}/")
def change(uid: str, body: WebhookChange, request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Changes what is named."""
    with box.state.transaction() as con:
        before = _own(con, actor, uid)
        con.execute(
            "UPDATE webhooks SET target_url = ?, events = ?, is_active = ?, updated_at = ? WHERE uid = ?",
            (
                body.target_url or before["target_url"],
                before["events"] if body.events is None else _packed(body.events),
                before["is_active"] if body.is_active is None else body.is_active,
                time.time(),
                uid,
            ),
        )
        log_effect(con, "change_webhook", "PATCH", request.url.path, uid, None, 200)
        return _show(_own(con, actor, uid))


@router.delete("/webhooks/{uid}/", status_code=204)
def delete(uid: str, request: Request, box: BoxOf, actor: ActorOf) -> None:
    """Forgets a webhook; deliveries that wait are not sent any more."""
    with box.state.transaction() as con:
        _own(con, actor, uid)
        con.execute("DELETE FROM webhooks WHERE uid = ?", (uid,))
        log_effect(con, "delete_webhook", "DELETE", request.url.path, uid, None, 204)


@router.post("/webhooks/{uid}/test/")
def test(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, bool]:
    """Sends the first of its events once, made up, and says whether it was received, in both published words."""
    with box.state.transaction() as con:
        webhook = _own(con, actor, uid)
        event = json.loads(webhook["events"])[0]
        made = new_delivery(con, webhook, event, json.dumps({"uid": new_uid(), "test": True}), None)
        delivery = con.execute("SELECT * FROM webhook_deliveries WHERE uid = ?", (made,)).fetchone()
    answered = box.webhooks.deliver(delivery, webhook["secret"], webhook["target_url"])
    with box.state.transaction() as con:
        box.webhooks.record(con, made, answered, again=False)
    return {"delivered": answered.ok, "success": answered.ok}


@router.get("/webhook-deliveries/")
def list_deliveries(request: Request, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """Deliveries, newest first."""
    with box.state.transaction() as con:
        where, values = ["t.owner_name = ?"], [actor.username]
        return cursor_page(
            con, request, "t.*", "webhook_deliveries t", where, values, _show_delivery, box.settings.page_size
        )


@router.get("/webhook-deliveries/{uid}/")
def get_delivery(uid: str, box: BoxOf, actor: ActorOf) -> dict[str, Any]:
    """One delivery."""
    with box.state.transaction() as con:
        row = con.execute(
            "SELECT * FROM webhook_deliveries WHERE uid = ? AND owner_name = ?", (uid, actor.username)
        ).fetchone()
    if row is None:
        raise not_found()
    return _show_delivery(row)


def _packed(events: list[str]) -> str:
    return json.dumps(list(dict.fromkeys(events)))


def _own(con: sqlite3.Connection, actor: Actor, uid: str) -> sqlite3.Row:
    row = con.execute("SELECT * FROM webhooks WHERE uid = ? AND owner_name = ?", (uid, actor.username)).fetchone()
    if row is None:
        raise not_found()
    return row


def _show(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "uid": row["uid"],
        "target_url": row["target_url"],
        "events": json.loads(row["events"]),
        "is_active": bool(row["is_active"]),
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }


def _show_delivery(row: sqlite3.Row) -> dict[str, Any]:
    return {
        "uid": row["uid"],
        "subscription": row["webhook_uid"],
        "event_type": row["event_type"],
        "payload": json.loads(row["payload"]),
        "response_status": row["response_status"],
        "response_body": row["response_body"],
        "attempts": row["attempts"],
        # The first attempt is due, too, but it is no repetition.
        "next_retry_at": iso(row["next_retry_at"]) if row["attempts"] and row["next_retry_at"] else None,
        "status": row["status"],
        "created_at": iso(row["created_at"]),
        "updated_at": iso(row["updated_at"]),
    }
