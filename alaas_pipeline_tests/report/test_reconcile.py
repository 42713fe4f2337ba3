"""The plan of a comparison as people read it."""

from alaas_pipeline.alaas.reconcile import Finding, Plan
from alaas_pipeline.report.reconcile import plan_text, verdict


def nothing() -> None:
    """Mends nothing."""


SYNC = Finding("in sync", "cats.r0001", "landed; 2 sent = 2 labelled + 0 refused + 0 pending")
GONE = Finding("missing remotely", "cats.r0002", "its clone is not on Avala any more", nothing)
MONEY = Finding(
    "money drift", "dogs.r0001", "its project is active. To stop the bill: alaas-pipeline cancel dogs.r0001"
)


def test_pools_stand_under_each_other_and_the_last_line_says_what_is_to_be_done() -> None:
    assert plan_text([Plan("cats", (SYNC, GONE)), Plan("dogs", (MONEY,))]) == (
        "cats\n"
        "  = cats.r0001: in sync; landed; 2 sent = 2 labelled + 0 refused + 0 pending\n"
        "  - cats.r0002: missing remotely; its clone is not on Avala any more\n"
        "\n"
        "dogs\n"
        "  ! dogs.r0001: money drift; its project is active. To stop the bill: alaas-pipeline cancel dogs.r0001\n"
        "\n"
        "2 findings. 1 of them can be mended here: alaas-pipeline reconcile --apply."
    )


def test_the_verdict_counts_what_does_not_agree() -> None:
    agree = "Ledger, Avala and files agree. Nothing is to be done."
    assert verdict([]) == verdict([Plan("cats", (SYNC,))]) == agree
    assert verdict([Plan("cats", (SYNC, MONEY))]) == "1 finding. None of them can be mended here; do what they say."
