"""The asset `labels`: what came back for each image that was sent."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import dagster as dg

from alaas_pipeline.assets.common import asset_key, columns, pool_asset, round_of, table, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.labels.collect import learned
from alaas_pipeline.labels.land import land
from alaas_pipeline.ledger import landing
from alaas_pipeline.ledger.landing import Version
from alaas_pipeline.report.pool import curve_points
from alaas_pipeline.report.tables import CLASS_HEADERS, class_rows, markdown_table
from alaas_pipeline.resources import Avala, Pools

WAITING = "export_is_ready"


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "labels",
        after=["avala_export"],
        per_round=True,
        kinds=("duckdb",),
        code_version="1",
        description=f"Labels of a round of {settings.name}, checked record by record; every image sent is labelled, refused or pending.",
        stored=columns(digest="string", outcome="string", labels="list of string", reason="string"),
        output_required=False,
        check_specs=[
            dg.AssetCheckSpec(WAITING, asset=asset_key(settings.key, "labels"), description="The export has landed.")
        ],
    )
    def labels(context: dg.AssetExecutionContext, pools: Pools, avala: Avala):
        with told_plainly():
            service = pools.service()
            current = round_of(context, service)
            with avala.client(current.settings) as client:
                landed = (
                    None
                    if current.ended and current.state != "landed"
                    else land(service.ledger, service.store, client, current.key)
                )
        if landed:
            known = learned(service.ledger, current.pool, until=current.key)
            with service.ledger.transaction() as tx:
                rows, foremost = landing.current(tx, current.key), landing.foremost(tx, current.key)
                serving = landing.serving(tx, current.key)
            points = curve_points(service, known, current.pool)
            at_random = points[-1].random_classes if points else None
            found = Counter(label for row in rows for label in row["labels"])
            drawn = [row for row in rows if row["kind"] == "control"]
            yield dg.MaterializeResult(
                metadata={
                    "dagster/row_count": len(rows),
                    "sent": landed.books.sent,
                    "labelled": landed.books.labelled,
                    "refused": landed.books.refused,
                    "pending": landed.books.pending,
                    "set_aside": len(landed.quarantined),
                    "version": serving,
                    **_version(foremost),
                    "classes": dg.MetadataValue.md(markdown_table(CLASS_HEADERS, class_rows(found))),
                    "classes_found_so_far": known.classes[-1] if known.classes else 0,
                    "images_labelled_so_far": known.labelled[-1] if known.labelled else 0,
                    **({"classes_at_random_simulated": at_random} if at_random is not None else {}),
                    **({"control_images": len(drawn), "control_classes": _classes(drawn)} if drawn else {}),
                    "without_label": table(
                        [
                            {"image": row["image_id"], "outcome": row["outcome"], "reason": row["reason"] or ""}
                            for row in rows
                            if row["outcome"] != "labelled"
                        ]
                    ),
                }
            )
        else:
            context.log.info(f"Round {current.key} is {current.state}; there are no labels to land yet")
        yield dg.AssetCheckResult(
            check_name=WAITING,
            passed=landed is not None,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"round": current.key, "state": current.state},
        )

    return labels


def _classes(rows: Sequence[Mapping[str, Any]]) -> int:
    return len({label for row in rows for label in row["labels"]})


def _version(foremost: Version | None) -> dict[str, Any]:
    """How the version that waits for a person differs from the one that serves; without any, how that one differed."""
    if foremost is None:
        return {}
    differs, held = foremost.differs or {}, foremost.state == "held"
    return {
        **({"held_version": foremost.version, "held_for": foremost.held_for or ""} if held else {}),
        **({"label_names": differs["names"]} if differs.get("names") else {}),
        **({"differs": table(differs["changes"])} if differs.get("changes") else {}),
    }
