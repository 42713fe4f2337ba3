"""Whether a platform that lies was dealt with rightly, told from outside.

It shares no code with the pipeline: it looks at the server's logs of effects and requests, at what was seen on the wire, and at the
pipeline's status documents.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any

from alaas_pipeline_tests.faults.lying import ENDED, Played, commands_in

OURS = re.compile(r"^alaas-pets-(r\d{4})-[0-9a-f]{12}(-export-\d+)?$")
BOUGHT = ("finalise", "clone", "approve", "export")
DELETED = {"finalise": ("by_hand:delete_dataset",), "clone": ("by_hand:delete_project", "by_hand:delete_dataset")}
# What people did that only a person can judge. Two lost exports are asked for again by the pipeline itself.
HANDS = (
    "delete_dataset", "delete_project", "approve", "pause", "cancel", "archive", "complete", "create_project",
)  # fmt: skip
LOST_EXPORTS = ("by_hand:delete_export", "by_hand:fail_export")
PER_VECTOR, PER_SELECTION, PER_PICK = 5, 10, 25
UNSENT = ("ConnectError", "ConnectTimeout", "PoolTimeout")
POSTS_ONCE = re.compile(
    r"/api/v1/(datasets/manual-upload/|projects/create-from-existing/|exports/|projects/[0-9a-f-]+/approve/)"
)


def violations(played: Played) -> list[str]:
    """What is wrong, in sentences."""
    wrong = [f"a secret is in {name}" for name in played.leaks]
    wrong += [
        f"{one['run']} {one['ended']}: {one.get('traceback', '')}"
        for one in played.told
        if one["ended"] in ("died", "hung", "turns")
    ]
    wrong += [
        f"{one['command']} ended with a traceback: {one['traceback']}"
        for one in played.told
        if one["command"] and "traceback" in one
    ]
    (pool,) = played.status["pools"] or [{"rounds": []}]
    if not pool["rounds"]:
        return [*wrong, "no round was ever opened"]
    for check in (_bought, _approved, _sent, strays, _blind, _stops, _endings):
        wrong += check(played, pool)
    for one in pool["rounds"]:
        wrong += _books(played, one)
    return [*wrong, *_credits(pool), *_money(played, pool)]


def _bought(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    """At most one of each for a round; after a deletion one more, as long as nothing is billed."""
    known = {one["round"].split(".")[1] for one in pool["rounds"]}
    allowed: dict[tuple[str, str], int] = {}
    billed: set[str] = set()
    for effect in played.effects:
        kind, found = effect["kind"], OURS.match(effect["name"] or "")
        if not found:
            if kind in BOUGHT:
                yield f"{kind} under a name that is not ours: {effect['name']}"
            continue
        name = found[1]
        if kind in BOUGHT and name not in known:
            yield f"{kind} of {name}, a round that the pipeline does not know"
        if kind in ("finalise", "clone"):
            left = allowed.setdefault((kind, name), 1)
            allowed[kind, name] = left - 1
            if left < 1:
                yield f"{name}: one {kind} too many ({effect['uid']})"
            if name in billed:
                yield f"{name}: {kind} after it was billed"
        if kind in ("approve", "by_hand:approve"):
            if name in billed:
                yield f"{name}: approved twice"
            billed.add(name)
        for bought, deletions in DELETED.items():
            if kind in deletions and name not in billed:
                allowed[bought, name] = allowed.get((bought, name), 1) + 1


def _approved(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    """An approval is asked for only with a yes to the quote, and covers the images of the quote."""
    rounds = {one["project_uid"]: one for one in pool["rounds"]}
    for note in played.wire:
        if note["say"] != "about to approve":
            continue
        uid = note["path"].split("/")[-3]
        one = next((one for one in note["status"]["pools"][0]["rounds"] if one["project_uid"] == uid), None)
        if one is None or not one["decision"] or one["decision"]["decision"] != "accepted":
            yield f"the approval of {uid} was asked for and nobody had accepted it"
        elif one["decision"]["quote"] != one["quote"]["digest"] or one["quote"]["images"] != len(one["picked"]):
            yield f"the approval of {uid} was asked for under another quote than the accepted one"
    for effect in played.effects:
        if effect["kind"] == "approve":
            one = rounds.get(effect["uid"])
            if one is None:
                name = OURS.match(effect["name"])
                one = next((one for one in pool["rounds"] if name and one["round"].endswith(name[1])), None)
            if one is None or not one["decision"] or one["decision"]["decision"] != "accepted":
                yield f"{effect['name']} was approved and nobody has accepted it"
            elif effect["details"]["tasks"] != one["quote"]["images"]:
                yield f"{effect['details']['tasks']} images were approved of {one['round']}, {one['quote']['images']} accepted"


def _sent(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    """Only images of the quote were sent, and the dataset holds exactly them."""
    contents = {name: hashlib.sha256(data).hexdigest() for name, data in played.photos.items()}
    for one in pool["rounds"]:
        name = f"alaas-pets-{one['round'].split('.')[1]}-"
        quoted = {contents[image] for image in one["picked"]}
        for effect in played.effects:
            ours = effect["kind"] == "upload" and effect["details"]["dataset_name"].startswith(name)
            if ours and effect["details"]["sha256"] not in quoted:
                yield f"{one['round']}: {effect['name']} was sent and is not in the quote"
            held = effect["details"].get("items"), effect["details"].get("issues")
            if effect["kind"] == "finalise" and effect["name"].startswith(name) and held != (one["quote"]["images"], 0):
                yield f"{one['round']}: its dataset holds {held[0]} images, not {one['quote']['images']}, and lacks {held[1]}"


def strays(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    """What the server received is what was seen to leave: no more, and no less than was answered."""
    arrived = Counter(f"{one['method']} {one['path']}" for one in played.requests)
    notes = [(note, f"{note['method']} {note['path']}") for note in played.wire if "method" in note]
    sent = Counter(request for note, request in notes if note["say"] == "sends")
    answered = Counter(request for note, request in notes if "status" in note)
    for one in sorted(arrived | sent):
        if not answered[one] <= arrived[one] <= sent[one]:
            yield f"{one}: {sent[one]} left, {answered[one]} were answered and {arrived[one]} arrived"


def _blind(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    """What may have happened is not asked for again in the same call before it was looked for."""
    doubtful: dict[tuple[str, int, str], bool] = {}
    for note in played.wire:
        if note["say"] != "request":
            continue
        turn = note["run"], note["turn"]
        if note["method"] == "GET":
            # A look has an answer; of an approval it is the project's own page.
            for run, number, path in list(doubtful):
                project = path.split("/")[-3] if path.endswith("/approve/") else ""
                if (run, number) == turn and note.get("status") in (200, 404) and project in note["path"]:
                    del doubtful[run, number, path]
        elif POSTS_ONCE.fullmatch(note["path"]):
            key = (*turn, note["path"])
            if doubtful.get(key):
                yield f"{note['run']}: {note['path']} was sent again without a look after a doubtful answer"
            if note.get("status", 500) != 429 and note.get("error") not in UNSENT:
                doubtful[key] = "error" in note or note["status"] >= 500


def excuses(played: Played) -> set[str]:
    """What a schedule held that needs a person."""
    found = {
        effect["kind"]
        for effect in played.effects
        if effect["kind"].removeprefix("by_hand:") in HANDS and ":" in effect["kind"]
    }
    lost = sum(effect["kind"] in LOST_EXPORTS for effect in played.effects) + dict(played.schedule.sandbox).get(
        "failing_exports", 0
    )
    found |= {"exports that fail"} if lost > 2 else set()
    # A name that is taken and cannot be seen: the lie struck where nothing of ours stood.
    lies = [rule for rule in played.fired if rule["do"] == "status" and rule["status"] in (400, 409) and rule["fired"]]
    return found | {"a name that somebody else holds" for _ in lies}


def _stops(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    """A person is called only when one is needed, and is told what to do."""
    notes: set[tuple[str, str, str]] = set()
    for told in played.told:
        for one in told.get("status", {"pools": []})["pools"] and told["status"]["pools"][0]["rounds"]:
            notes.add((one["round"], one["state"], one["note"] or ""))
    for key, state, note in sorted(notes):
        if state in ("needs_person", "paused") and not excuses(played):
            yield f"{key} is {state} and nothing in the schedule needs a person: {note}"
        if state in ("needs_person", "overdue") and not commands_in(note):
            yield f"{key} is {state} and its note names no command: {note}"


def _endings(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    landed = [one for one in pool["rounds"] if one["state"] == "landed"]
    newest = pool["rounds"][-1]
    if len(landed) >= played.schedule.rounds:
        return
    if newest["state"] not in ENDED:
        yield f"{newest['round']} never came to an end: it is {newest['state']}: {newest['note']}"
    elif not excuses(played):
        yield f"{newest['round']} ended as {newest['state']} for no reason: {newest['note']}"


def _books(played: Played, one: dict[str, Any]) -> Iterator[str]:
    """Sent = labelled + refused + pending, and the labels are those that the annotators gave."""
    name, sent = one["round"], one["uploaded"]
    if sent != one["labelled"] + one["refused"] + one["pending"]:
        yield f"{name}: {sent} sent, {one['labelled']} labelled, {one['refused']} refused, {one['pending']} pending"
    if one["state"] != "landed":
        return
    if one["quarantined"] or one["pending"] or not sent == len(one["picked"]) == one["quote"]["images"]:
        yield f"{name}: landed with {one['quarantined']} set aside, {one['pending']} pending, {sent} of {len(one['picked'])} sent"
    if one["credits_spent"] != PER_SELECTION + PER_PICK * len(one["picked"]):
        yield f"{name}: {one['credits_spent']} credits for {len(one['picked'])} picks"
    labels = next(told["labels"] for told in reversed(played.told) if "labels" in told)[name]
    if sorted(labels) != sorted(one["picked"]):
        yield f"{name}: labels of {sorted(labels)} landed, {sorted(one['picked'])} were picked"
    given = {task["key"].rpartition("__")[0]: task for task in played.tasks.get(one["project_uid"], [])}
    for image, (outcome, *found) in labels.items():
        task = given.get(image.removesuffix(".png").replace("/", "__"))
        if task is None:
            if one["project_uid"] in played.tasks:
                yield f"{name}: {image} has landed and nobody was asked about it"
        elif (["labelled", task["label"]] if task["label"] else ["refused"]) != [outcome, *found]:
            yield f"{name}: {image} is {outcome} {found}, and was answered {task['label'] or task['refusal_reason']}"


def _credits(pool: dict[str, Any]) -> Iterator[str]:
    held = pool["credits"]
    if held["granted"] != held["spent"] + held["reserved"] + held["spendable"]:
        yield f"credits do not balance: {held}"
    if held["reserved"]:
        yield f"{held['reserved']} credits are still reserved"
    due = PER_VECTOR * pool["counts"]["embedded"] + sum(one["credits_spent"] for one in pool["rounds"])
    if held["spent"] != due:
        yield f"{held['spent']} credits are spent and {due} were due"


def _money(played: Played, pool: dict[str, Any]) -> Iterator[str]:
    """Every approval that we asked for is in the money that is told as committed; one made by hand may be."""

    def total(*kinds: str) -> float:
        names = {
            found[1] for effect in played.effects if effect["kind"] in kinds and (found := OURS.match(effect["name"]))
        }
        return sum(one["quote"]["total"] for one in pool["rounds"] if one["round"].split(".")[1] in names)

    told, least, most = sum(pool["money"].values()), total("approve"), total("approve", "by_hand:approve")
    if not least - 1e-9 <= told <= most + 1e-9:
        yield f"{told} are committed; {least} to {most} were approved"
