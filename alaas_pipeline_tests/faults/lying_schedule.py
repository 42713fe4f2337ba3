"""From a seed to a schedule: a small scenario, and everything in it that goes wrong."""

import json
import random
from dataclasses import asdict, dataclass
from typing import Any

API = "/api/v1"
UID = "[0-9a-f-]{36}"
# What the pipeline asks for, by a short name: method and path.
ROUTES: dict[str, tuple[str, str]] = {
    "me": ("GET", f"{API}/users/me/"),
    "presign": ("POST", f"{API}/datasets/manual-upload/file-upload-url/"),
    "store": ("(PUT|POST)", "/_storage/.*"),
    "complete": ("POST", f"{API}/datasets/manual-upload/uploads/{UID}/complete/"),
    "finalise": ("POST", f"{API}/datasets/manual-upload/"),
    "dataset by name": ("GET", f"{API}/datasets/sandbox-team/[^/]+/"),
    "dataset": ("GET", f"{API}/datasets/{UID}/"),
    "datasets": ("GET", f"{API}/datasets/"),
    "items": ("GET", f"{API}/datasets/sandbox-team/[^/]+/items/"),
    "projects": ("GET", f"{API}/users/me/projects/"),
    "project": ("GET", f"{API}/users/me/projects/{UID}/"),
    "clone": ("POST", f"{API}/projects/create-from-existing/"),
    "approve": ("POST", f"{API}/projects/{UID}/approve/"),
    "tasks": ("GET", f"{API}/tasks/"),
    "exports": ("GET", f"{API}/exports/"),
    "export": ("GET", f"{API}/exports/{UID}/"),
    "ask for export": ("POST", f"{API}/exports/"),
    "download": ("GET", "/_storage/exports/.*"),
}
BUYING = ("finalise", "clone", "approve", "ask for export")
NAMED = ("finalise", "clone")
LAGGING = ("dataset by name", "datasets", "items", "projects", "exports")
# A client waits so long for an answer, which a busy machine keeps; a hang lasts longer. In seconds of the clock on the wall.
TIMEOUT_S, HANG_S = 3.0, 3.2
RETRY_AFTER = ("2", "0.5", "soon", None, "600", "7200", "Fri, 31 Dec 2100 23:59:59 GMT")
TAKEN = {
    "finalise": {"name": ["Dataset with this name already exists."], "slug": ["Dataset with this slug already exists."]},
    "clone": {"name": ["Project with this name already exists for this owner."]},
}  # fmt: skip
# What a person may do in Avala's own pages, and in which state of the round.
HANDS = (
    ("uploaded", "delete_dataset"), ("cloned", "delete_dataset"), ("cloned", "delete_project"), ("cloned", "approve"),
    ("cloned", "cancel"), ("cloned", "archive"), ("approved", "pause"), ("approved", "cancel"), ("approved", "delete_project"),
    ("approved", "archive"), ("approved", "pause and resume"), ("exported", "delete_export"), ("exported", "fail_export"),
    ("exported", "delete_project"), ("exported", "delete_dataset"), ("labelled", "archive"),
    ("POST clone", "foreign_project"), ("POST clone", "foreign_project of another"), ("POST clone", "delete_dataset"),
    ("POST approve", "approve"), ("POST approve", "cancel"), ("POST approve", "delete_project"), ("POST ask for export", "delete_project"),
)  # fmt: skip


@dataclass(frozen=True)
class Hand:
    """Something that a person does behind the pipeline's back: when the round is in a state, or just before a request of ours."""

    when: str
    do: str
    round: int = 1


@dataclass(frozen=True)
class Crash:
    """The end of one pipeline: at its nth event. `kill` counts requests and commits, before and after; `raise` only requests."""

    event: int
    how: str


@dataclass(frozen=True)
class Schedule:
    """A scenario and its faults. `real` runs Dagster's jobs; else the same rooms are called without it."""

    seed: int
    rounds: int = 1
    images: int = 2
    policy: str = "auto"
    real: bool = False
    sandbox: tuple[tuple[str, Any], ...] = ()
    rules: tuple[dict[str, Any], ...] = ()
    hands: tuple[Hand, ...] = ()
    crashes: tuple[Crash, ...] = ()
    twins: bool = False
    gives_up: bool = False
    plant: str = ""

    def __str__(self) -> str:
        return json.dumps(asdict(self), indent=1)


def rule(route: str, do: str, **more: Any) -> dict[str, Any]:
    """A rule of the sandbox about one of our routes."""
    method, path = ROUTES[route]
    return {"path": path, "do": do, **({} if method.startswith("(") else {"method": method}), **more}


def kind(rule: dict[str, Any]) -> str:
    """What a rule does, whatever it does it to."""
    told = [rule["do"]]
    if rule["do"] == "status":
        told = ["name taken" if rule["status"] in (400, 409) else "429" if rule["status"] == 429 else "5xx"]
    if rule["do"] == "stale":
        told.append("for some reads" if rule.get("times") else "for some time")
    return " ".join([*told, *(rule[field] for field in ("when", "show") if field in rule and rule["do"] != "trickle")])


def kinds(schedule: Schedule) -> set[str]:
    """Everything that goes wrong in a schedule, by kind."""
    found = {kind(rule) for rule in schedule.rules} | {f"by hand: {hand.do}" for hand in schedule.hands}
    found |= {f"crash: {crash.how}" for crash in schedule.crashes}
    found |= {"two pipelines at once"} if schedule.twins else set()
    return found | ({"exports that fail"} if dict(schedule.sandbox).get("failing_exports") else set())


def draw(seed: int) -> Schedule:
    """The schedule of a seed."""
    dice = random.Random(seed)
    hands = tuple(Hand(*dice.choice(HANDS), round=1) for _ in range(dice.choice((0, 0, 0, 0, 0, 1, 1, 1, 2))))
    slow = any(hand.when in ("approved", "POST approve") for hand in hands)
    world = {
        "pace": 0.15 if slow else dice.choice((0, 0, 0, 0.05)),
        "upload_method": dice.choice(("put", "post")),
        "failing_exports": dice.choice((0, 0, 0, 0, 0, 0, 1, 2, 4)),
        "export_reads": dice.choice((0, 1, 3)),
        "creating_reads": dice.choice((0, 1, 3)),
        "export_kind": dice.choice(("zip", "json")),
        "refusal_rate": dice.choice((0, 0, 0.4)),
    }
    return Schedule(
        seed=seed,
        rounds=dice.choice((1, 1, 1, 2)),
        images=dice.choice((2, 2, 3)),
        policy="manual" if dice.random() < 0.15 else "auto",
        real=seed % 15 == 14,
        sandbox=tuple(world.items()),
        rules=tuple(_rule(dice) for _ in range(dice.randint(1, 7))),
        hands=hands,
        crashes=tuple(_crash(dice) for _ in range(dice.choice((0, 0, 0, 1, 1, 2, 3)))),
        twins=dice.random() < 0.2 and seed % 15 != 14,
        gives_up=dice.random() < 0.3,
    )


def _crash(dice: random.Random) -> Crash:
    return Crash(dice.randint(1, 80), "kill") if dice.random() < 0.6 else Crash(dice.randint(1, 20), "raise")


def _rule(dice: random.Random) -> dict[str, Any]:
    # What may be bought twice is lied about most.
    route = dice.choice((*ROUTES, *BUYING, *BUYING))
    method = ROUTES[route][0]
    kinds = ["status", "status", "cut", "cut", "hang", "trickle", "throttle"]
    kinds += ["twice", "twice", "redirect"] if method == "POST" else []
    kinds += ["stale", "stale", "stale"] if route in LAGGING else []
    kinds += ["taken"] if route in NAMED else []
    kind, when = dice.choice(kinds), dice.choice(("before", "after"))
    often: dict[str, Any] = {"times": dice.choice((1, 1, 2, 3)), "skip": dice.choice((0, 0, 0, 1, 2))}
    if kind == "status":
        return rule(route, "status", when=when, status=dice.choice((500, 502, 503)), **often)
    if kind == "cut":
        return rule(route, "cut", when=when, **often)
    if kind == "hang":
        return rule(route, "hang", when=when, seconds=HANG_S, **{**often, "times": 1})
    if kind == "trickle":
        return rule(route, "trickle", seconds=dice.choice((0.02, 0.2)), **{**often, "times": 1})
    if kind == "throttle":
        after = dice.choice(RETRY_AFTER)
        headers = {} if after is None else {"Retry-After": after}
        return rule(
            route,
            "status",
            when="before",
            status=429,
            headers=headers,
            **{**often, "times": dice.choice((1, 2, 6, 12))},
        )
    if kind == "twice":
        return rule(route, "twice", show=dice.choice(("first", "second")), **often)
    if kind == "redirect":
        return rule(route, "redirect", when=when, location="https://elsewhere.test/", **often)
    if kind == "stale":
        # So many reads at most as a patient look makes, or as long as it is patient.
        if dice.random() < 0.5:
            return rule(route, "stale", seconds=60, times=dice.randint(1, 3), skip=often["skip"])
        return rule(route, "stale", seconds=dice.choice((0.03, 0.08)))
    status = dice.choice((400, 409))
    return rule(
        route, "status", when=when, status=status, body=TAKEN[route], **{**often, "times": dice.choice((1, None))}
    )
