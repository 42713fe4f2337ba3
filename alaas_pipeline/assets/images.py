"""The asset `images`: what is in the pool's source, and what cannot be used and why."""

from typing import Any

import dagster as dg

from alaas_pipeline.alaas.scan import ManifestReport
from alaas_pipeline.assets.common import columns, pool_asset, table, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.ledger import images as ledger_images
from alaas_pipeline.ledger.images import Replaced
from alaas_pipeline.resources import Pools, Sources

SHOWN = 50


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "images",
        kinds=("duckdb",),
        code_version="1",
        description=f"Images of {settings.name}: every file of {settings.source}, fully decoded; refused ones with a reason.",
        stored=columns(digest="string", image_id="string", width="int", height="int", state="string", reason="string"),
    )
    def images(pools: Pools, sources: Sources) -> dg.MaterializeResult:
        with told_plainly():
            service = pools.service()
            report = service.scan(settings, sources.open(settings))
        with service.ledger.transaction() as tx:
            refused = ledger_images.refusals(tx, settings.key)
            repeated = ledger_images.duplicates(tx, settings.key)
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": report.counts.total,
                "files_listed": report.listed,
                "files_read": report.read,
                "files_gone": report.gone,
                "files_replaced": len(report.replaced),
                "refused": len(refused),
                "duplicates": len(repeated),
                **(_manifest(report.manifest) if report.manifest else {}),
                "refused_files": table(
                    [
                        {"path": row["path"], "reason": row["reason"], "digest": row["digest"] or ""}
                        for row in refused[:SHOWN]
                    ]
                ),
                "duplicate_files": table(
                    [{"path": row["path"], "same_bytes_as": row["image_id"]} for row in repeated[:SHOWN]]
                ),
                "replaced_files": table([_replaced(one) for one in report.replaced[:SHOWN]]),
            }
        )

    return images


def _replaced(one: Replaced) -> dict[str, Any]:
    """What became of the image that stood at a path before."""
    old = "retired" if one.retired else "goes on at another path"
    return {
        "path": one.path,
        "new_image": one.now[:12],
        "old_image": one.before[:12],
        "the_old_one": f"{old}; a round picked it, and its labels stay with it" if one.picked else old,
    }


def _manifest(report: ManifestReport) -> dict[str, Any]:
    return {
        "manifest_rows": report.rows,
        "manifest_rows_matched": report.matched,
        "manifest_rows_without_image": table([{"id": name} for name in report.unmatched[:SHOWN]]),
        "files_without_manifest_row": report.without,
    }
