"""Faults by rule, and the list of requests that tells what they did. All below ``/_sandbox/``."""

import dataclasses
import json
import re
from typing import Annotated, Any

from fastapi import APIRouter
from pydantic import ConfigDict, Field, StringConstraints

from alaas_pipeline.sandbox.box import BoxOf
from alaas_pipeline.sandbox.errors import bad_fields
from alaas_pipeline.sandbox.faults import Do, Rule, Show, When
from alaas_pipeline.sandbox.gate import ADMIN
from alaas_pipeline.sandbox.routes.fields import Body
from alaas_pipeline.sandbox.state import iso

router = APIRouter(prefix=ADMIN, tags=["sandbox"])

# Which of these fields go with which fault, and which one a fault cannot do without.
GO_WITH: dict[str, tuple[str, ...]] = {
    "status": ("when", "status", "body", "headers"),
    "redirect": ("when", "location"),
    "cut": ("when",),
    "hang": ("when", "seconds"),
    "trickle": ("seconds",),
    "twice": ("show",),
    "stale": ("seconds",),
}
NEEDS = {
    "status": "status",
    "redirect": "location",
    "hang": "seconds",
    "trickle": "seconds",
    "stale": "seconds",
}
SET_BY_THE_SERVER = ("content-length", "transfer-encoding", "connection")

HeaderName = Annotated[str, StringConstraints(pattern=r"^[!#$%&'*+.^_`|~0-9A-Za-z-]{1,100}$")]
HeaderValue = Annotated[str, StringConstraints(pattern=r"^[ -~\u00a0-\u00ff]{0,2000}$")]


class RuleBody(Body):
    """A rule, as `alaas_pipeline.sandbox.faults` describes it. A field that does not go with ``do`` is refused."""

    model_config = ConfigDict(extra="forbid")

    path: Annotated[str, StringConstraints(min_length=1, max_length=500)]
    do: Do
    method: Annotated[str, StringConstraints(to_upper=True, pattern=r"^[A-Za-z]{1,10}$")] | None = None
    skip: Annotated[int, Field(ge=0)] = 0
    times: Annotated[int, Field(ge=1)] | None = 1
    when: When | None = None
    status: Annotated[int, Field(ge=400, le=599)] | None = None
    body: Any = None
    headers: dict[HeaderName, HeaderValue] | None = None
    seconds: Annotated[float, Field(gt=0, le=86_400, allow_inf_nan=False)] | None = None
    location: HeaderValue | None = None
    show: Show | None = None


@router.post("/faults", status_code=201)
async def add_fault(body: RuleBody, box: BoxOf) -> dict[str, Any]:
    """Adds a rule behind those that are there. A `stale` rule strikes always unless it says how often."""
    special = {
        name: getattr(body, name) for name in ("when", "status", "body", "headers", "seconds", "location", "show")
    }
    given = {name: value for name, value in special.items() if value is not None}
    for name in given:
        if name not in GO_WITH[body.do]:
            raise bad_fields(**{name: f"This field does not go with do={body.do}."})
    if body.do in NEEDS and NEEDS[body.do] not in given:
        raise bad_fields(**{NEEDS[body.do]: "This field is required."})
    if body.do == "stale" and body.method not in (None, "GET"):
        raise bad_fields(method="Only what is read can be stale: give GET, or leave it out.")
    try:
        json.dumps(body.body, allow_nan=False)
    except ValueError:
        raise bad_fields(body="JSON has neither NaN nor infinity.") from None
    for name in body.headers or {}:
        if name.lower() in SET_BY_THE_SERVER:
            raise bad_fields(headers=f"{name} is set by the server.")
    times = None if body.do == "stale" and "times" not in body.model_fields_set else body.times
    rule = Rule(_path(body.path), body.do, body.method, body.skip, times, **given)
    return _show(box.faults.add(rule))


@router.get("/faults")
async def list_faults(box: BoxOf) -> dict[str, Any]:
    """Every rule with ``seen`` (requests that it named) and ``fired`` (requests that it struck)."""
    return {"faults": [_show(rule) for rule in box.faults.rules()]}


@router.delete("/faults")
async def clear_faults(box: BoxOf) -> dict[str, int]:
    """Forgets every rule."""
    return {"cleared": box.faults.clear()}


@router.get("/requests")
async def list_requests(box: BoxOf, since: int = 0) -> dict[str, Any]:
    """Requests to the API and the storage that want a change, those numbered above ``since``."""
    # Asynchronous: the entries change in the event loop alone, so that none changes while it is copied.
    entries = [dataclasses.asdict(entry) for entry in box.requests.since(since)]
    return {"requests": [{**entry, "at": iso(entry["at"])} for entry in entries]}


def _path(text: str) -> re.Pattern[str]:
    if ADMIN in text.replace("\\", ""):
        raise bad_fields(path=f"Requests to {ADMIN}/ never suffer faults.")
    try:
        return re.compile(text)
    except re.error as error:
        raise bad_fields(path=f"This is not a regular expression: {error}.") from None


def _show(rule: Rule) -> dict[str, Any]:
    special = {name: getattr(rule, name) for name in GO_WITH[rule.do]}
    return {
        "n": rule.n,
        "method": rule.method,
        "path": rule.path.pattern,
        "skip": rule.skip,
        "times": rule.times,
        "do": rule.do,
        **special,
        "added_at": iso(rule.added_at),
        "seen": rule.seen,
        "fired": rule.fired,
    }
