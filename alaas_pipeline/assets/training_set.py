"""The asset `training_set`: all landed rounds and imports of a pool as one versioned set, and the pool's report."""

from collections.abc import Mapping

import dagster as dg

from alaas_pipeline.assets.common import columns, pool_asset, table, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.labels.collect import training_set_folder, write_training_set
from alaas_pipeline.labels.training.rows import SPLITS
from alaas_pipeline.report.pool import write_report
from alaas_pipeline.report.tables import CLASS_HEADERS, class_rows, markdown_table
from alaas_pipeline.resources import Pools

SHOWN = 50


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "training_set",
        after=["labels"],
        kinds=("parquet",),
        code_version="2",
        description=f"All landed labels of {settings.name}: deduplicated, split without leaks, versioned by content.",
        stored=columns(digest="string", file="string", label="string", boxes="int", split="string", round="string"),
    )
    def training_set(pools: Pools) -> dg.MaterializeResult:
        with told_plainly():
            service = pools.service()
            written = write_training_set(service.ledger, service.store, settings.key)
            report = write_report(service, settings)
        metadata: dict = {
            "dagster/row_count": written.images,
            "version": written.version,
            "folder": dg.MetadataValue.path(service.store.path(training_set_folder(settings.key), written.version)),
            "train": written.train,
            "validation": written.validation,
            "test": written.test,
            "classes": _classes(written.per_class),
            **({"boxes": written.boxes, "boxes_per_class": _classes(written.boxes_per_class)} if written.boxes else {}),
            "left_out": len(written.left_out),
            "left_out_images": table([{"image": one.file, "reason": one.reason} for one in written.left_out[:SHOWN]]),
            "report": dg.MetadataValue.path(report),
        }
        return dg.MaterializeResult(metadata=metadata)

    return training_set


def _classes(per_class: Mapping[str, Mapping[str, int]]) -> dg.MarkdownMetadataValue:
    counts = {name: sum(sides.values()) for name, sides in per_class.items()}
    rows = [(*row, *per_class[row[0]].values()) for row in class_rows(counts)]
    return dg.MetadataValue.md(markdown_table((*CLASS_HEADERS, *SPLITS), rows))
