"""Two versions of a round's labels, compared."""

import json

import pytest

from alaas_pipeline.labels.diff import compare
from alaas_pipeline.ledger.landing import Outcome


def one(name: str, word: str, *labels: str, x: float = 1.0, id: str = "i") -> Outcome:
    drawn = [{"label": label, "box": [x, 1, 2, 2], "id": id, "raw": {"uid": id}} for label in labels]
    return Outcome(name, word, list(labels), drawn, None)


@pytest.mark.parametrize(
    ("before", "after", "what", "grows"),
    [
        (one("a", "pending"), one("a", "labelled", "cat"), "added", True),
        (one("a", "refused"), one("a", "labelled", "cat"), "added", True),
        (one("a", "pending"), one("a", "refused"), "refused now", True),
        (one("a", "refused"), one("a", "pending"), "pending now", True),
        (one("a", "labelled", "cat"), one("a", "pending"), "lost", False),
        (one("a", "labelled", "cat"), one("a", "refused"), "lost", False),
        (one("a", "labelled", "cat"), None, "lost", False),
        (one("a", "pending"), None, "lost", False),
        (one("a", "labelled", "cat"), one("a", "labelled", "dog"), "other labels", False),
        (one("a", "labelled", "cat"), one("a", "labelled", "cat", "dog"), "other labels", False),
        (one("a", "labelled", "cat"), one("a", "labelled", "cat", x=9), "other annotations", False),
    ],
)
def test_each_kind_of_change(before: Outcome, after: Outcome | None, what: str, grows: bool) -> None:
    found = compare([before], [after] if after else [], {"a": "cats/a.png"})
    assert [(change.image, change.what) for change in found.changes] == [("cats/a.png", what)]
    assert (found.counts, found.only_grows) == ({what: 1}, grows)


def test_an_image_that_only_the_later_version_has_is_added() -> None:
    (change,) = compare([], [one("a", "labelled", "cat")], {}).changes
    assert (change.image, change.what, change.before, change.after) == ("a", "added", "absent", "cat")


def test_ids_raw_words_and_order_are_no_change() -> None:
    before = one("a", "labelled", "cat", "dog", id="1")
    again = one("a", "labelled", "dog", "cat", id="2")
    assert compare([before], [again], {}).changes == []
    assert str(compare([before], [again], {})) == "nothing changed"


def test_it_is_told_in_one_line_with_the_grave_first_and_as_json() -> None:
    before = [one("a", "pending"), one("b", "labelled", "cat"), *(one(f"l{n}", "labelled", "cat") for n in range(5))]
    after = [one("a", "labelled", "cat"), one("b", "labelled", "dog")]
    found = compare(before, after, {})
    assert str(found) == (
        "1 added, 5 lost, 1 other labels; first: l0 (cat → absent), l1 (cat → absent), l2 (cat → absent), l3 (cat → absent), l4 (cat → absent)"
    )
    told = found.to_json()
    assert json.loads(json.dumps(told)) == told
    assert told["counts"] == {"added": 1, "lost": 5, "other labels": 1}
    assert (told["classes_before"], told["classes_after"]) == ({"cat": 6}, {"cat": 1, "dog": 1})
    assert told["changes"][-1] == {"image": "b", "what": "other labels", "before": "cat", "after": "dog"}
