"""The table at the end of the demo."""

from collections.abc import Mapping
from typing import Any

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.labels.collect import learned
from alaas_pipeline.report.curve import expected_classes_found
from alaas_pipeline.report.tables import text_table

HEADERS = (
    "round",
    "picked",
    "uploaded",
    "labelled",
    "refused",
    "credits",
    "money",
    "classes found",
    "at random*",
    "accuracy*",
    "at random*",
)


def demo_table(
    service: PoolService,
    document: dict[str, Any],
    truth: Mapping[str, int],
    accuracies: Mapping[str, tuple[float, float]],
) -> str:
    """Return the rounds of the demo pool as text, each beside what a random draw of as many images would give.

    Args:
        service: of the demo's installation.
        document: the pool's status.
        truth: how many images each class has.
        accuracies: see `alaas_pipeline.demo.accuracy`.
    """
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
                *_percent(accuracies.get(entry["round"])),
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
            "* A simulation: the true classes of this pool are known, so what a random draw of as many images would give on average",
            "  can be computed. Accuracy is of all other images, each taken for what its nearest labelled image is. In a real pool",
            "  nobody knows the classes; see control_share for measuring there.",
        ]
    )


def _percent(shares: tuple[float, float] | None) -> tuple[str, str]:
    return (f"{100 * shares[0]:.1f} %", f"{100 * shares[1]:.1f} %") if shares else ("", "")
