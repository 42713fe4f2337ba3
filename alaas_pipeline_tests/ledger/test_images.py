import pytest

from alaas_pipeline.ledger import Transaction, images, pools
from alaas_pipeline.ledger.images import Counts
from alaas_pipeline_tests.ledger.fill import ENCODER, add_images, advance, digest, file_row, image_row, open_with_picks


def test_counts_of_a_pool_with_a_bit_of_everything(tx: Transaction) -> None:
    add_images(tx, "a", "b", "c", "d")
    images.record_scan(
        tx, "cats",
        [
            file_row("copy of a", "a"), file_row("broken", "broken"), file_row("closed", None, reason="may not be read"),
            file_row("anim.gif", "anim"), file_row("new", "new"), file_row("odd", "odd"),
        ],
        [
            image_row("broken", state="refused", reason="the file ends before the picture does"), image_row("anim", unfit_reason="gif"),
            image_row("new"), image_row("odd"),
        ],
        ["d"],
    )  # fmt: skip
    images.record_embedded(
        tx, "cats", ENCODER, "p2", [digest("anim")], {digest("odd"): "no usable vector"}, "embed:cats:1"
    )
    # a, b, c and the new one; d is gone.
    assert images.counts(tx, "cats") == Counts(total=4, selected=0, remaining=4, refused=4, duplicates=1, embedded=5)
    assert {row["path"]: row["reason"] for row in images.refusals(tx, "cats")} == {
        "anim.gif": "gif", "broken": "the file ends before the picture does", "closed": "may not be read", "odd": "no usable vector",
    }  # fmt: skip
    advance(tx, open_with_picks(tx, "b", "c"), "refused")
    assert images.counts(tx, "cats") == Counts(total=4, selected=2, remaining=2, refused=4, duplicates=1, embedded=5)
    images.record_scan(tx, "cats", [], [], ["b"])
    after = images.counts(tx, "cats")
    assert after.total == after.selected + after.remaining == 4
    assert sorted(images.not_pickable(tx, "cats")) == sorted(map(digest, ("anim", "b", "d")))
    assert images.to_embed(tx, "cats", ENCODER) == [digest("new")]
    assert images.counts(tx, "dogs") == Counts(0, 0, 0, 0, 0, 0)


@pytest.mark.parametrize(
    ("first", "others", "repeated"),
    [
        ("a", ["b", "c"], ["b", "c"]),
        ("c", ["a", "b"], ["a", "b"]),
        ("b", ["a", "c"], ["a", "c"]),
    ],
)
def test_of_equal_files_all_but_one_are_duplicates(
    tx: Transaction, first: str, others: list[str], repeated: list[str]
) -> None:
    add_images(tx, first)
    images.record_scan(
        tx, "cats", [file_row(path, first) for path in others], [image_row(first, image_id=others[0])], []
    )
    assert [(row["path"], row["image_id"]) for row in images.duplicates(tx, "cats")] == [
        (path, first) for path in repeated
    ]
    images.record_scan(tx, "cats", [], [], [first])
    assert [row["path"] for row in images.duplicates(tx, "cats")] == [max(others)]
    assert images.details(tx, "cats", [digest(first)])[digest(first)]["path"] == min(others)
    images.record_scan(tx, "cats", [], [], others)
    assert images.duplicates(tx, "cats") == []
    assert images.details(tx, "cats", [digest(first)])[digest(first)]["path"] is None


def test_new_bytes_under_an_old_path_are_another_image(tx: Transaction) -> None:
    add_images(tx, "a")
    images.record_scan(tx, "cats", [file_row("a", "a2", version="2")], [image_row("a2", image_id="a")], [])
    assert images.known_files(tx, "cats")["a"]["version"] == "2"
    assert images.to_embed(tx, "cats", ENCODER) == [digest("a2")]
    assert images.not_pickable(tx, "cats") == [digest("a")]
    assert images.ids(tx, "cats") == {digest("a"): "a", digest("a2"): "a"}
    assert images.counts(tx, "cats").total == 1


def test_failures_are_forgotten_but_vectors_are_not(tx: Transaction) -> None:
    add_images(tx, "a")
    add_images(tx, "b", embed=False)
    images.record_embedded(tx, "cats", ENCODER, "p", [], {digest("b"): "could not be read"}, "embed:cats:1")
    assert images.to_embed(tx, "cats", ENCODER) == []
    images.forget_failures(tx, "cats")
    assert images.to_embed(tx, "cats", ENCODER) == [digest("b")]
    assert images.embedded(tx, "cats", ENCODER) == [digest("a")]
    assert images.refusals(tx, "cats") == []


def test_parts_in_order_of_name(tx: Transaction) -> None:
    add_images(tx, "z", "y")
    add_images(tx, "b")
    pools.ensure(tx, "dogs", "Dogs")
    add_images(tx, "b", pool="dogs")
    assert images.parts(tx, "cats", ENCODER) == ["b.parquet", "z.parquet"]
    assert images.parts(tx, "cats", "other") == []


def test_near_duplicates_are_written_anew_each_time(tx: Transaction) -> None:
    a, b, c = add_images(tx, "a", "b", "c")

    def groups() -> dict[str, str]:
        return {
            one: row["near_duplicate_of"]
            for one, row in images.details(tx, "cats", [a, b, c]).items()
            if row["near_duplicate_of"]
        }

    images.set_near_duplicates(tx, "cats", {a: a, b: a, c: c})
    assert groups() == {b: a}
    images.set_near_duplicates(tx, "cats", {a: a, b: b, c: b})
    assert groups() == {c: b}
