from alaas_pipeline.ledger import Transaction, pushes
from alaas_pipeline_tests.ledger.fill import ROUND


def test_what_is_planned_stays_and_is_sent_once(tx: Transaction) -> None:
    pushes.plan(tx, ROUND, {"d2": "b.png", "d1": "a.png"})
    pushes.plan(tx, ROUND, {"d1": "other.png", "d3": "c.png"})
    assert [(row["digest"], row["file_name"], row["uploaded_at"]) for row in pushes.planned(tx, ROUND)] == [
        ("d1", "a.png", None), ("d2", "b.png", None), ("d3", "c.png", None),
    ]  # fmt: skip
    pushes.uploaded(tx, ROUND, ["d1", "d3"])
    first = {row["digest"]: row["uploaded_at"] for row in pushes.planned(tx, ROUND)}
    assert [digest for digest, at in first.items() if at] == ["d1", "d3"]
    pushes.uploaded(tx, ROUND, ["d1", "d2", "d3"])
    second = {row["digest"]: row["uploaded_at"] for row in pushes.planned(tx, ROUND)}
    assert (second["d1"], second["d3"]) == (first["d1"], first["d3"])
    assert second["d2"]
    assert pushes.planned(tx, "cats.r0002") == []
