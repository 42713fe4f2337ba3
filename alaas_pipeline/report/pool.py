"""Write a pool's report from what the ledger and the store hold."""

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.labels.collect import Learned, learned
from alaas_pipeline.ledger import landing, rounds, selections
from alaas_pipeline.ledger.status import status
from alaas_pipeline.money import MICROS, show_money
from alaas_pipeline.report.curve import CurvePoint, expected_classes_found, learning_curve_png
from alaas_pipeline.report.html import Credits, PickLine, PoolReport, RoundLine, pool_report
from alaas_pipeline.store import Store


def report_file(store: Store, pool: str) -> str:
    """Return where the pool's report is."""
    return store.path(_report(pool))


def write_simulation(store: Store, pool: str, truth: dict[str, int]) -> None:
    """Keep the true class counts of a pool whose truth is known, so that its report can show the random expectation."""
    store.write_json(_simulation(pool), truth)


def curve_points(service: PoolService, known: Learned, pool: str) -> list[CurvePoint]:
    """Return the learning curve of the landed rounds."""
    truth = service.store.read_json(_simulation(pool)) if service.store.exists(_simulation(pool)) else None
    points, picked = [], 0
    with service.ledger.transaction() as tx:
        for number, key in enumerate(known.rounds, start=1):
            picked += len(selections.picks(tx, key))
            expected = expected_classes_found(truth, min(picked, sum(truth.values()))) if truth else None
            points.append(CurvePoint(number, known.labelled[number - 1], known.classes[number - 1], expected))
    return points


def write_report(service: PoolService, settings: PoolSettings) -> str:
    """Write the report of a pool over all its rounds and return where it is."""
    document = status(service.ledger, settings.key)["pools"][0]
    known = learned(service.ledger, settings.key)
    points = dict(zip(known.rounds, curve_points(service, known, settings.key), strict=True))
    lines, picks, sheets, warnings = [], [], [], []
    for entry in document["rounds"]:
        key, quote, point = entry["round"], entry["quote"], points.get(entry["round"])
        lines.append(
            RoundLine(
                key=key, state=entry["state"], picked=len(entry["picked"]), uploaded=entry["uploaded"], labelled=entry["labelled"],
                refused=entry["refused"], pending=entry["pending"], credits=entry["credits_spent"],
                money=show_money(round(quote["total"] * MICROS), quote["currency"]) if quote and entry["decision"] else "",
                classes=point.classes if point else None, random_classes=point.random_classes if point else None,
            )
        )  # fmt: skip
        picks += _picks(service, key)
        sheet = f"pools/{settings.key}/rounds/{key}/contact_sheet.jpg"
        if service.store.exists(sheet):
            sheets.append((key, service.store.read_bytes(sheet)))
        if entry["quarantined"]:
            warnings.append(
                f"{key}: {entry['quarantined']} records of the export were set aside; see the round's labels."
            )
        if entry["state"] in rounds.STOPPED:
            warnings.append(f"{key} is {entry['state']}: {entry['note'] or ''}")
    held = document["credits"]
    report = PoolReport(
        pool=settings.name, images=document["counts"]["total"], rounds=lines, class_counts=known.counts,
        credits=Credits(held["granted"], held["reserved"], held["spent"], held["balance"]),
        money=[("Labelling, as quoted", show_money(round(amount * MICROS), currency)) for currency, amount in document["money"].items()],
        curve=learning_curve_png(list(points.values())) if points else b"", sheets=sheets, picks=picks, warnings=warnings,
        simulated=settings.platform == "sandbox",
    )  # fmt: skip
    return service.store.write_bytes(_report(settings.key), pool_report(report).encode())


def _picks(service: PoolService, key: str) -> list[PickLine]:
    with service.ledger.transaction() as tx:
        labels = {row["digest"]: ", ".join(row["labels"]) or row["outcome"] for row in landing.current(tx, key)}
        return [
            PickLine(
                key,
                row["position"],
                row["image_id"],
                row["kind"],
                row["reason"],
                labels.get(row["digest"], ""),
            )
            for row in selections.picks(tx, key)
        ]


def _report(pool: str) -> str:
    return f"pools/{pool}/report.html"


def _simulation(pool: str) -> str:
    return f"pools/{pool}/simulation.json"
