"""The checker of the sweep finds what it is there to find."""

from collections.abc import Callable
from typing import Any

import pytest

from alaas_pipeline_tests.faults.checker import violations

Books = dict[str, Any]


def effect(kind: str, uid: str) -> dict[str, Any]:
    return {"kind": kind, "uid": uid}


def sound() -> Books:
    """Two rounds of one image each, as they should be."""
    rounds, effects, tasks = [], [], {}
    for n in (1, 2):
        rounds.append(
            {
                "round": f"r{n}", "state": "landed", "picked": [f"{n}.png"], "uploaded": 1, "labelled": 1, "refused": 0, "pending": 0,
                "quarantined": 0, "credits_spent": 35, "quote": {"images": 1, "total": 0.05, "currency": "USD"},
                "dataset_uid": f"d{n}", "project_uid": f"p{n}", "export_uid": f"e{n}",
            }
        )  # fmt: skip
        pairs = (("finalise", f"d{n}"), ("clone", f"p{n}"), ("approve", f"p{n}"), ("export", f"e{n}"))
        effects += [effect(*pair) for pair in pairs]
        tasks[f"p{n}"] = [{"key": f"{n}.png", "label": "cats"}]
    pool = {
        "credits": {"granted": 100, "spent": 80, "reserved": 0, "spendable": 20},
        "counts": {"embedded": 2},
        "money": {"USD": 0.1},
        "rounds": rounds,
    }
    return {"effects": effects, "tasks": tasks, "status": {"pools": [pool], "lost_commits": []}}


def told(books: Books) -> str:
    return "; ".join(violations(books["effects"], books["tasks"], books["status"], 2))


def pool(books: Books) -> dict[str, Any]:
    return books["status"]["pools"][0]


def second(books: Books, **changes: Any) -> None:
    pool(books)["rounds"][1].update(changes)


WRONG: dict[str, tuple[Callable[[Books], object], str]] = {
    "a second dataset": (lambda b: b["effects"].append(effect("finalise", "d3")), "3 times finalise for 2 rounds"),
    "a second approval": (lambda b: b["effects"].append(effect("approve", "p2")), "r2: 2 times approve of p2"),
    "another project": (lambda b: second(b, project_uid="p9"), "r2: 0 times clone of p9"),
    "no clone": (lambda b: b["effects"].remove(effect("clone", "p1")), "1 times clone for 2 rounds"),
    "no export": (lambda b: b["effects"].remove(effect("export", "e2")), "r2: its export e2 was never made"),
    "a task too many": (lambda b: b["tasks"]["p1"].append({"key": "9.png", "label": "cats"}), "r1: 2 images were labelled and 1 quoted"),
    "a task without an answer": (lambda b: b["tasks"]["p1"][0].update(label=None), "r1: 0 images were labelled and 1 quoted"),
    "bought in two rounds": (lambda b: b["tasks"]["p2"][0].update(key="1.png"), "labelled in two rounds: ['1.png']"),
    "picked in two rounds": (lambda b: second(b, picked=["1.png"]), "picked in two rounds: ['1.png']"),
    "a round that hangs": (lambda b: second(b, state="exported"), "1 of 2 rounds have landed"),
    "a round too many": (lambda b: pool(b)["rounds"].append(pool(b)["rounds"][1]), "3 of 3 rounds have landed, not 2 of 2"),
    "a label that did not land": (lambda b: second(b, labelled=0, pending=1), "r2: 1 sent, 0 labelled, 0 refused, 1 pending"),
    "an image that nobody counts": (lambda b: second(b, labelled=0), "r2: 1 sent, 0 labelled, 0 refused, 0 pending"),
    "fewer sent than quoted": (lambda b: second(b, uploaded=0, labelled=0), "r2: 1 picked, 1 quoted, 0 labels landed"),
    "a record set aside": (lambda b: second(b, quarantined=1), "r2: 1 records were set aside"),
    "a selection paid twice": (lambda b: second(b, credits_spent=70), "r2: 70 credits for 1 picks"),
    "vectors paid twice": (lambda b: pool(b)["credits"].update(spent=90, spendable=10), "90 credits are spent and 80 were due"),
    "a reservation kept": (lambda b: pool(b)["credits"].update(reserved=5, spendable=15), "5 credits are still reserved"),
    "credits out of nothing": (lambda b: pool(b)["credits"].update(spendable=25), "credits do not balance"),
    "money that nobody quoted": (lambda b: pool(b)["money"].update(USD=0.15), "0.15 USD are committed and 0.1 were quoted"),
    "a lost commit": (lambda b: b["status"]["lost_commits"].append({"first_commit": 7}), "commits are missing"),
}  # fmt: skip


def test_sound_books_are_sound() -> None:
    assert told(sound()) == ""


@pytest.mark.parametrize("name", WRONG)
def test_each_kind_of_loss_is_found(name: str) -> None:
    spoil, complaint = WRONG[name]
    books = sound()
    spoil(books)
    assert complaint in told(books)
