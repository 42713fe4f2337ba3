"""The table at the end of the demo."""

from typing import Any

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.labels.collect import learned
from alaas_pipeline.report.curve import expected_classes_found
from alaas_pipeline.report.tables import text_table

HEADERS = ("round", "picked", "uploaded", "labelled", "refused", "credits", "money", "classes found", "at random*")


def demo_table(service: PoolService, document: dict[str, Any], truth: dict[str, int]) -> str:
    """Return the rounds of the demo pool as text, each with what a random draw of as many images would have found."""
    rows, picked, credits, money = [], 0, 0, 0.0
    for entry in document["rounds"]:
        known = learned(service.ledger, document["pool"], until=entry["round"])
        picked += len(entry["picked"])
        credits += entry["credits_spent"]
        spent = entry["quote"]["total"] if entry["quote"] and entry["state"] == "landed" else 0.0
        money += spent
        rows.append(
            (
                entry["round"], len(entry["picked"]), entry["uploaded"], entry["labelled"], entry["refused"], entry["credits_spent"],
                f"{spent:.2f}", f"{known.classes[-1] if known.classes else 0} of {len(truth)}",
                f"{expected_classes_found(truth, picked):.1f} of {len(truth)}",
            )
        )  # fmt: skip
    held = document["credits"]
    embedding = held["spent"] - credits
    return "\n".join(
        [
            text_table(HEADERS, rows),
            "",
            f"Credits: {held['spent']:,} spent ({embedding:,} on embedding, {credits:,} on selecting) of {held['granted']:,} granted, "
            f"{held['reserved']:,} reserved, {held['balance']:,} left.",
            f"Money:   {money:.2f} for labelling, as quoted and accepted.",
            "* A simulation: the true classes of this pool are known, so the classes that a random draw of as many images",
            "  would find on average can be computed. In a real pool nobody knows them; see control_share for measuring there.",
        ]
    )
