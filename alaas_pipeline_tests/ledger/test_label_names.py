from alaas_pipeline.ledger import Transaction, label_names
from alaas_pipeline_tests.ledger.fill import ROUND


def test_names_are_compared() -> None:
    same = label_names.compare({"cat", "dog"}, ["dog", "cat"], declared=True)
    assert (same.new, same.gone, str(same)) == ([], [], "")
    renamed = label_names.compare({"auto", "bus"}, ["bus", "car"], declared=True)
    assert str(renamed) == "new: 'car'; gone since: 'auto' - renamed?"
    assert str(label_names.compare({"auto", "bus"}, ["bus"], declared=True)) == "gone since: 'auto'"


def test_names_that_are_merely_not_in_use_are_not_gone() -> None:
    assert str(label_names.compare({"cat", "dog"}, ["cat"], declared=False)) == ""
    assert str(label_names.compare({"cat", "dog"}, ["cat", "cow"], declared=False)) == "new: 'cow'"


def test_another_case_or_other_spaces_are_another_name_and_said() -> None:
    found = label_names.compare({"traffic light"}, ["Traffic  Light"], declared=False)
    assert str(found) == "new: 'Traffic  Light' (accepted is 'traffic light': only case or spaces differ)"


def test_before_the_first_landing_nothing_is_new() -> None:
    assert str(label_names.compare(set(), ["cat"], declared=True)) == ""


def test_many_names_are_told_in_part() -> None:
    told = str(label_names.compare({"a"}, ["a", *(f"n{number:02d}" for number in range(13))], declared=True))
    assert told.endswith("'n09' and 3 more")


def test_accepted_names_stay_with_who_accepted_them(tx: Transaction) -> None:
    label_names.accept(tx, "cats", ["cat", "dog"], ROUND, "first landing")
    label_names.accept(tx, "cats", ["cat", "cow"], "cats.r0002", "Ada")
    assert label_names.accepted(tx, "cats") == {"cat", "dog", "cow"}
    assert label_names.accepted(tx, "dogs") == set()
    assert tx.rows("SELECT name, round, accepted_by FROM label_names ORDER BY name") == [
        {"name": "cat", "round": ROUND, "accepted_by": "first landing"},
        {"name": "cow", "round": "cats.r0002", "accepted_by": "Ada"},
        {"name": "dog", "round": ROUND, "accepted_by": "first landing"},
    ]


def test_rounds_that_landed_before_names_were_kept_have_accepted_theirs(tx: Transaction) -> None:
    row = {
        "round": ROUND, "version": 1, "export_uid": "e", "export_digest": "e", "schema_digest": "s", "label_schema": '["cat"]', "file": "f",
        "records": 0, "landed_at": "x", "state": None,
    }  # fmt: skip
    tx.insert("landings", [row, {**row, "round": "cats2.r0001", "label_schema": '["no"]'}])
    assert label_names.accepted(tx, "cats") == {"cat"}
    label_names.accept(tx, "cats", ["dog"], "cats.r0002", "Ada")
    assert label_names.accepted(tx, "cats") == {"cat", "dog"}
