"""The plan of a comparison as text for the terminal and the log."""

from collections.abc import Sequence

from alaas_pipeline.alaas.reconcile import Plan


def plan_text(plans: Sequence[Plan]) -> str:
    """Return the findings of each pool, one line each, and a last line that says what is to be done."""
    blocks = ["\n".join([plan.pool, *(f"  {finding.line}" for finding in plan.findings)]) for plan in plans]
    return "\n\n".join([*blocks, verdict(plans)])


def verdict(plans: Sequence[Plan]) -> str:
    """Return whether anything is to be done, in one line."""
    drift = [finding for plan in plans for finding in plan.drift]
    if not drift:
        return "Ledger, Avala and files agree. Nothing is to be done."
    safe = sum(finding.mend is not None or finding.kind == "loss" for finding in drift)
    many = "1 finding" if len(drift) == 1 else f"{len(drift)} findings"
    how = (
        f"{safe} of them can be mended here: alaas-pipeline reconcile --apply"
        if safe
        else "None of them can be mended here; do what they say"
    )
    return f"{many}. {how}."
