"""The status document as text for the terminal."""

from typing import Any

from alaas_pipeline.report.tables import text_table

HEADERS = ("round", "state", "picked", "uploaded", "labelled", "refused", "pending", "at most", "quote")


def status_text(document: dict[str, Any]) -> str:
    """Return pools and rounds as short tables, each with what a person may have to do."""
    if not document["pools"]:
        return "No pool has been used yet. Materialize a pool's 'images' and 'embeddings', or run: alaas-pipeline demo"
    lost = [
        f"The ledger lost commits {loss['first_commit']} to {loss['last_commit']} (found {loss['found_at']}). Run: alaas-pipeline reconcile"
        for loss in document["lost_commits"]
    ]
    return "\n\n".join([*lost, *(_pool(pool) for pool in document["pools"])])


def _pool(pool: dict[str, Any]) -> str:
    counts, held = pool["counts"], pool["credits"]
    lines = [
        f"{pool['name']} ({pool['pool']})",
        f"  images   {counts['total']:,} in all, {counts['selected']:,} selected, {counts['remaining']:,} remaining; "
        f"{counts['refused']:,} files refused, {counts['duplicates']:,} duplicates",
        f"  credits  {held['spendable']:,} spendable; {held['granted']:,} granted, {held['spent']:,} spent, {held['reserved']:,} reserved",
    ]
    if pool["money"]:
        lines.append(
            "  money    "
            + ", ".join(
                f"{amount:.2f} {currency} for approved rounds, at most" for currency, amount in pool["money"].items()
            )
        )
    for one in pool["imports"]:
        kind = "test set" if one["test_set"] else "labelled before"
        lines.append(
            f"  import   {one['key']}: {one['images']:,} images from {one['origin']} ({kind}), {one['quarantined']:,} set aside, "
            f"{one['imported_at'][:10]}"
        )
    if pool["rounds"]:
        table = text_table(HEADERS, [_row(entry) for entry in pool["rounds"]])
        lines += ["", *(f"  {line}" for line in table.splitlines())]
    if pool["plan"] and pool["plan"]["state"] == "proposed":
        lines.append(f"  {pool['plan']['offer']}")
    newest = pool["rounds"][-1] if pool["rounds"] else None
    if newest and newest["note"] and newest["state"] != "landed":
        lines.append(f"  {newest['round']}: {newest['note']}")
    lines += [line for entry in pool["rounds"] for line in _held(entry)]
    if newest and newest["state"] == "cloned" and newest["quote"] and not newest["decision"]:
        lines += [
            f"  {newest['round']} waits for a yes to {newest['quote']['images']} images for at most "
            f"{newest['quote']['total']:.2f} {newest['quote']['currency']}:",
            f"    alaas-pipeline approve {newest['round']} --quote {newest['quote']['digest']}",
        ]
    return "\n".join(lines)


def _held(entry: dict[str, Any]) -> list[str]:
    """A landed round's later labels that wait; one that has not landed says so in its note."""
    labels = entry["landing"]
    if entry["state"] != "landed" or not labels or labels["state"] != "held":
        return []
    return [
        f"  {entry['round']}: version {labels['version']} of its labels waits: {labels['held_for']}",
        f"    alaas-pipeline accept-labels {entry['round']}, or refuse-labels {entry['round']}",
    ]


def _row(entry: dict[str, Any]) -> tuple[Any, ...]:
    quote = entry["quote"]
    return (
        entry["round"], entry["state"], len(entry["picked"]), entry["uploaded"], entry["labelled"], entry["refused"], entry["pending"],
        f"{quote['total']:.2f} {quote['currency']}" if quote else "", quote["digest"] if quote else "",
    )  # fmt: skip
