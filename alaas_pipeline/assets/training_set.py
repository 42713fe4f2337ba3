"""The asset `training_set`: all landed rounds of a pool as one versioned set, and the pool's report."""

import dagster as dg

from alaas_pipeline.assets.common import columns, pool_asset, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.labels.collect import learned, write_training_set
from alaas_pipeline.report.pool import write_report
from alaas_pipeline.report.tables import CLASS_HEADERS, class_rows, markdown_table
from alaas_pipeline.resources import Pools


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "training_set",
        after=["labels"],
        kinds=("parquet",),
        code_version="1",
        description=f"All landed labels of {settings.name}: deduplicated, split without leaks, versioned by content.",
        stored=columns(digest="string", file="string", label="string", split="string", round="string"),
    )
    def training_set(pools: Pools) -> dg.MaterializeResult:
        with told_plainly():
            service = pools.service()
            written = write_training_set(service.ledger, service.store, settings.key)
            known = learned(service.ledger, settings.key)
            report = write_report(service, settings)
        metadata: dict = {
            "dagster/row_count": written.images,
            "version": written.version,
            "folder": dg.MetadataValue.path(str(written.folder)),
            "train": written.train,
            "validation": written.validation,
            "classes": dg.MetadataValue.md(markdown_table(CLASS_HEADERS, class_rows(known.counts))),
            "labels_in_all": sum(known.counts.values()),
            "left_out_with_several_labels": len(known.several),
            "report": dg.MetadataValue.path(report),
        }
        return dg.MaterializeResult(metadata=metadata)

    return training_set
