"""The pool service as its callers see it. Embedded today; a server and a client of a hosted one answer to the same calls."""

from dataclasses import dataclass

from alaas_pipeline.alaas import embed as _embed
from alaas_pipeline.alaas import quote as _quote
from alaas_pipeline.alaas import scan as _scan
from alaas_pipeline.alaas import select as _select
from alaas_pipeline.alaas.encoders import Load
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger, credits, images
from alaas_pipeline.ledger.credits import Credits
from alaas_pipeline.ledger.images import Counts
from alaas_pipeline.ledger.quotes import Quote
from alaas_pipeline.ledger.rounds import Round
from alaas_pipeline.ledger.selections import PickedImage
from alaas_pipeline.sources import Source
from alaas_pipeline.store import Store


@dataclass(frozen=True)
class PoolService:
    """Pools on this machine: our engine, our ledger."""

    ledger: Ledger
    store: Store
    home: Home

    def scan(self, settings: PoolSettings, source: Source) -> _scan.ScanReport:
        """Bring the pool's images up to date with its source; see `alaas.scan.scan`."""
        return _scan.scan(self.ledger, settings, source)

    def embed(self, settings: PoolSettings, source: Source, load: Load) -> _embed.EmbedReport:
        """Embed what has no vector yet; see `alaas.embed.embed`."""
        return _embed.embed(self.ledger, self.store, self.home, settings, source, load)

    def check_embeddings(self, pool: str) -> list[str]:
        """Return what is wrong with the pool's vectors; see `alaas.embed.check_embeddings`."""
        return _embed.check_embeddings(self.ledger, self.store, pool)

    def open_round(self, settings: PoolSettings) -> Round:
        """Open the pool's next round; see `alaas.select.open_round`."""
        return _select.open_round(self.ledger, settings)

    def select(self, round_key: str) -> list[PickedImage]:
        """Pick a round's images; see `alaas.select.select`."""
        return _select.select(self.ledger, self.store, self.home, round_key)

    def quote(self, round_key: str) -> Quote:
        """Price a round's labelling; see `alaas.quote.quote`."""
        return _quote.quote(self.ledger, round_key)

    def counts(self, pool: str) -> Counts:
        """Return the pool's progress."""
        with self.ledger.transaction() as tx:
            return images.counts(tx, pool)

    def usage(self, pool: str) -> Credits:
        """Return the pool's credits."""
        with self.ledger.transaction() as tx:
            return credits.credits(tx, pool)
