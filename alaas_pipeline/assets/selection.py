"""The asset `selection`: the images that a round picked, in pick order, each with its reason."""

from pathlib import Path

import dagster as dg

from alaas_pipeline.assets.common import columns, pool_asset, round_of, table, told_plainly
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.images import ImageLimits
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import images, selections
from alaas_pipeline.report.contact_sheet import Tile, contact_sheet, inline_markdown
from alaas_pipeline.resources import Pools, Sources
from alaas_pipeline.sources import Source

COUNTS = ("pool", "candidates", "picked", "remaining")


def build(settings: PoolSettings) -> dg.AssetsDefinition:
    """Make the asset for one pool."""

    @pool_asset(
        settings,
        "selection",
        after=["embeddings"],
        per_round=True,
        kinds=("faiss",),
        code_version="1",
        description=f"Picks of a round of {settings.name}: the images most worth labelling next, never one twice.",
        stored=columns(position="int", image_id="string", kind="string", gain="float", covers="int", reason="string"),
    )
    def selection(context: dg.AssetExecutionContext, pools: Pools, sources: Sources) -> dg.MaterializeResult:
        with told_plainly():
            service = pools.service()
            current = round_of(context, service)
            before = service.usage(current.pool)
            service.select(current.key)
            after = service.usage(current.pool)
        with service.ledger.transaction() as tx:
            picks, figures = selections.picks(tx, current.key), selections.metrics(tx, current.key)
            paths = {
                digest: row["path"]
                for digest, row in images.details(tx, current.pool, [pick["digest"] for pick in picks]).items()
            }
            names = images.ids(tx, current.pool)
        source = sources.open(current.settings)
        tiles = [
            Tile(_bytes(source, paths.get(pick["digest"])), f"{pick['position']}. {Path(pick['image_id']).name}")
            for pick in picks
        ]
        sheet = (
            service.store.write_bytes(
                f"pools/{current.pool}/rounds/{current.key}/contact_sheet.jpg", contact_sheet(tiles)
            )
            if tiles
            else ""
        )
        rows = [
            {
                "position": pick["position"],
                "image": pick["image_id"],
                "kind": pick["kind"],
                "covers": pick["covers"],
                "reason": pick["reason"],
                "nearest": names.get(pick["nearest"] or "", ""),
            }
            for pick in picks
        ]
        return dg.MaterializeResult(
            metadata={
                "dagster/row_count": len(picks),
                "picks_preview": dg.MetadataValue.md(inline_markdown(tiles)),
                "contact_sheet": dg.MetadataValue.path(sheet),
                "credits_before": before.spendable,
                "credits_after": after.spendable,
                **{name: int(value) if name in COUNTS else round(value, 4) for name, value in figures.items()},
                "remaining": service.counts(current.pool).remaining,
                "picks": table(rows),
            }
        )

    return selection


def _bytes(source: Source, path: str | None) -> bytes:
    """The picture for the sheet; a file that is gone since becomes a grey tile, never an error."""
    try:
        return source.read(path, ImageLimits().max_bytes) if path else b""
    except UserError:
        return b""
