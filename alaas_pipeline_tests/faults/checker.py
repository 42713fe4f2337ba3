"""Whether everything was bought once and nothing was lost, told from outside.

It shares no code with the pipeline: it reads what the server logged, over HTTP, and the pipeline's status document.
"""

import json
from collections import Counter, defaultdict
from typing import Any
from urllib.request import urlopen

ONCE = ("finalise", "clone", "approve")
PER_VECTOR, PER_SELECTION, PER_PICK = 5, 10, 25


def read(admin_url: str) -> tuple[list[dict[str, Any]], dict[str, list[dict[str, Any]]]]:
    """The server's log of effects, and the tasks of every project that was approved: uid -> tasks."""
    effects = _get(f"{admin_url}effects")["effects"]
    approved = {effect["uid"] for effect in effects if effect["kind"] == "approve"}
    return effects, {uid: _get(f"{admin_url}projects/{uid}/tasks")["tasks"] for uid in approved}


def violations(
    effects: list[dict[str, Any]], tasks: dict[str, list[dict[str, Any]]], status: dict[str, Any], rounds: int
) -> list[str]:
    """What is wrong, in sentences: the effects on the server against what the pipeline's status says of so many landed rounds."""
    (pool,) = status["pools"]
    wrong = [*_credits(pool), *_rounds(pool, rounds)]
    if status["lost_commits"]:
        wrong.append(f"commits are missing: {status['lost_commits']}")
    by_kind: dict[str, list[str]] = defaultdict(list)
    for effect in effects:
        by_kind[effect["kind"]].append(effect["uid"])
    for kind in ONCE:
        if len(by_kind[kind]) != rounds:
            wrong.append(f"{len(by_kind[kind])} times {kind} for {rounds} rounds")
    for one in pool["rounds"]:
        uids = {"finalise": one["dataset_uid"], "clone": one["project_uid"], "approve": one["project_uid"]}
        for kind, uid in uids.items():
            if by_kind[kind].count(uid) != 1:
                wrong.append(f"{one['round']}: {by_kind[kind].count(uid)} times {kind} of {uid}")
        if one["export_uid"] not in by_kind["export"]:
            wrong.append(f"{one['round']}: its export {one['export_uid']} was never made")
        answered = [task for task in tasks.get(one["project_uid"], []) if task["label"]]
        if len(answered) != one["quote"]["images"]:
            wrong.append(f"{one['round']}: {len(answered)} images were labelled and {one['quote']['images']} quoted")
    twice = [
        key for key, times in Counter(task["key"] for found in tasks.values() for task in found).items() if times > 1
    ]
    if twice:
        wrong.append(f"labelled in two rounds: {twice}")
    return wrong


def _rounds(pool: dict[str, Any], rounds: int) -> list[str]:
    wrong = []
    landed = [one["round"] for one in pool["rounds"] if one["state"] == "landed"]
    if len(landed) != rounds or len(pool["rounds"]) != rounds:
        wrong.append(f"{len(landed)} of {len(pool['rounds'])} rounds have landed, not {rounds} of {rounds}")
    picked = [image for one in pool["rounds"] for image in one["picked"]]
    if len(picked) != len(set(picked)):
        wrong.append(f"picked in two rounds: {[image for image, times in Counter(picked).items() if times > 1]}")
    for one in pool["rounds"]:
        sent, name = one["uploaded"], one["round"]
        if sent != one["labelled"] + one["refused"] + one["pending"] or one["pending"]:
            wrong.append(
                f"{name}: {sent} sent, {one['labelled']} labelled, {one['refused']} refused, {one['pending']} pending"
            )
        if not sent == one["labelled"] == len(one["picked"]) == one["quote"]["images"]:
            wrong.append(
                f"{name}: {len(one['picked'])} picked, {one['quote']['images']} quoted, {one['labelled']} labels landed"
            )
        if one["quarantined"]:
            wrong.append(f"{name}: {one['quarantined']} records were set aside")
        if one["credits_spent"] != PER_SELECTION + PER_PICK * len(one["picked"]):
            wrong.append(f"{name}: {one['credits_spent']} credits for {len(one['picked'])} picks")
    for currency, amount in pool["money"].items():
        quoted = sum(one["quote"]["total"] for one in pool["rounds"] if one["quote"]["currency"] == currency)
        if abs(amount - quoted) > 1e-9:
            wrong.append(f"{amount} {currency} are committed and {quoted} were quoted")
    return wrong


def _credits(pool: dict[str, Any]) -> list[str]:
    held, wrong = pool["credits"], []
    if held["granted"] != held["spent"] + held["reserved"] + held["spendable"]:
        wrong.append(f"credits do not balance: {held}")
    if held["reserved"]:
        wrong.append(f"{held['reserved']} credits are still reserved")
    due = PER_VECTOR * pool["counts"]["embedded"] + sum(one["credits_spent"] for one in pool["rounds"])
    if held["spent"] != due:
        wrong.append(f"{held['spent']} credits are spent and {due} were due")
    return wrong


def _get(url: str) -> Any:
    with urlopen(url, timeout=10) as answer:
        return json.load(answer)
