"""Sends what webhooks asked for: signed, again after a failure, and never while somebody waits for an answer."""

import hashlib
import hmac
import json
import logging
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from alaas_pipeline.sandbox.dialects import WebhookBody
from alaas_pipeline.sandbox.state import State, iso, new_uid

log = logging.getLogger(__name__)

ATTEMPTS = 5
TIMEOUT_S = 5.0
LOOK_S = 0.1
KEPT_BYTES = 2_000
LOOPBACK = "127.0.0.1"


def refusal_of(target_url: str) -> str | None:
    """Why a webhook may not go to an address; None if it may."""
    try:
        parts = urlsplit(target_url)
        port = parts.port
    except ValueError:
        return "Enter a valid URL."
    if parts.scheme != "http" or parts.hostname != LOOPBACK or parts.username is not None or port == 0:
        return (
            f"This is a local sandbox, which calls nobody but this machine: the URL must begin with http://{LOOPBACK}."
        )
    return None


def signature(secret: str, body: bytes) -> str:
    """HMAC-SHA256 of the body as it is sent, in hex."""
    return hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()


@dataclass(frozen=True)
class Answered:
    """What came back: the status, None if there was no answer, and the beginning of the body or what went wrong."""

    status: int | None
    text: str

    @property
    def ok(self) -> bool:
        """Whether the delivery counts as received."""
        return self.status is not None and 200 <= self.status < 300


class Webhooks:
    """The worker of one sandbox. What is to be sent stands in the state, so that a restart goes on with it.

    Args:
        state: where webhooks, events and deliveries are kept.
        body: the bare resource, or an envelope around it.
        pause_s: seconds until the second attempt; each further one waits twice as long.
    """

    def __init__(self, state: State, body: WebhookBody, pause_s: float) -> None:
        self._state = state
        self._body = body
        self._pause_s = pause_s
        self._stop = threading.Event()
        self._starting = threading.Lock()
        self._thread: threading.Thread | None = None

    def start(self, *, always: bool = True) -> None:
        """Begin to work, if it has not begun; without `always`, only if there is a webhook or something to send."""
        with self._starting:
            if self._thread is None and (always or self._wanted()):
                self._thread = threading.Thread(target=self._work, name="webhooks", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        """End after the delivery that is on its way, or without it if it takes too long: it is sent again then."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(2 * TIMEOUT_S)

    def deliver(self, row: sqlite3.Row, secret: str, target_url: str) -> Answered:
        """Send one delivery once; nothing is written down."""
        import httpx

        body = self._rendered(row)
        headers = {
            "Content-Type": "application/json",
            "X-Avala-Webhook-Signature": signature(secret, body),
            "X-Avala-Webhook-Event": row["event_type"],
            "X-Avala-Webhook-Delivery": row["uid"],
        }
        try:
            # Nothing of the environment: a proxy would carry it off this machine.
            with (
                httpx.Client(trust_env=False, timeout=TIMEOUT_S, verify=False) as client,  # noqa: S501 - plain HTTP
                client.stream("POST", target_url, content=body, headers=headers) as answer,
            ):
                kept = bytearray()
                for chunk in answer.iter_bytes():
                    kept += chunk
                    if len(kept) >= KEPT_BYTES:
                        break
            return Answered(answer.status_code, bytes(kept[:KEPT_BYTES]).decode("utf-8", "replace"))
        # Whatever it is, it was not received; and one that cannot be sent must not keep others from being sent.
        except Exception as error:
            return Answered(None, f"No answer ({type(error).__name__}).")

    def record(self, con: sqlite3.Connection, uid: str, answered: Answered, *, again: bool) -> None:
        """Write down one attempt.

        Args:
            con: an open transaction.
            uid: of the delivery.
            answered: what came back.
            again: whether a failure is followed by another attempt, as long as there are any left.
        """
        attempts = 1 + con.execute("SELECT attempts FROM webhook_deliveries WHERE uid = ?", (uid,)).fetchone()[0]
        now, retry = time.time(), None
        if again and not answered.ok and attempts < ATTEMPTS:
            retry = now + self._pause_s * 2 ** (attempts - 1)
        status = "delivered" if answered.ok else "failed" if retry is None else "pending"
        con.execute(
            "UPDATE webhook_deliveries SET response_status = ?, response_body = ?, attempts = ?, next_retry_at = ?,"
            " status = ?, updated_at = ? WHERE uid = ?",
            (answered.status, answered.text, attempts, retry, status, now, uid),
        )

    def _rendered(self, row: sqlite3.Row) -> bytes:
        resource = json.loads(row["payload"])
        told: Any = resource
        if self._body == "envelope":
            told = {"event": row["event_type"], "timestamp": iso(row["created_at"]), "data": resource}
        return json.dumps(told, ensure_ascii=False).encode()

    def _wanted(self) -> bool:
        with self._state.transaction() as con:
            found = con.execute(
                "SELECT EXISTS (SELECT 1 FROM webhooks) OR EXISTS (SELECT 1 FROM events)"
                " OR EXISTS (SELECT 1 FROM webhook_deliveries WHERE next_retry_at IS NOT NULL)"
            )
            return bool(found.fetchone()[0])

    def _work(self) -> None:
        while not self._stop.wait(LOOK_S):
            try:
                self._send_due()
            except Exception:
                log.exception("The worker of the webhooks failed and goes on.")

    def _send_due(self) -> None:
        with self._state.transaction() as con:
            _fan_out(con)
            due = con.execute(
                "SELECT d.*, w.target_url, w.secret, w.is_active FROM webhook_deliveries d"
                " LEFT JOIN webhooks w ON w.uid = d.webhook_uid WHERE d.next_retry_at <= ? ORDER BY d.seq LIMIT 100",
                (time.time(),),
            ).fetchall()
        for row in due:
            if self._stop.is_set():
                return
            if row["is_active"] and refusal_of(row["target_url"]) is None:
                answered, again = self.deliver(row, row["secret"], row["target_url"]), True
            else:
                answered, again = Answered(None, "The webhook is not active any more."), False
            with self._state.transaction() as con:
                self.record(con, row["uid"], answered, again=again)


def new_delivery(con: sqlite3.Connection, webhook: sqlite3.Row, event: str, payload: str, due: float | None) -> str:
    """Write down one delivery, and return its uid.

    Args:
        con: an open transaction.
        webhook: what it belongs to.
        event: its name.
        payload: the resource, as JSON.
        due: when the worker sends it; None: it does not.
    """
    uid, now = new_uid(), time.time()
    con.execute(
        "INSERT INTO webhook_deliveries (uid, webhook_uid, owner_name, event_type, payload, attempts, next_retry_at,"
        " status, created_at, updated_at) VALUES (?, ?, ?, ?, ?, 0, ?, 'pending', ?, ?)",
        (uid, webhook["uid"], webhook["owner_name"], event, payload, due, now, now),
    )
    return uid


def _fan_out(con: sqlite3.Connection) -> None:
    """Make a delivery of each event for each webhook that asks for it."""
    events = con.execute("SELECT * FROM events ORDER BY seq").fetchall()
    for event in events:
        for webhook in con.execute("SELECT * FROM webhooks WHERE owner_name = ? AND is_active", (event["owner_name"],)):
            if event["event"] in json.loads(webhook["events"]):
                new_delivery(con, webhook, event["event"], event["payload"], time.time())
    if events:
        con.execute("DELETE FROM events")
