"""What assets and sensors are handed. Each resource only builds a plain object of a room below."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg

from alaas_pipeline.alaas.service import PoolService
from alaas_pipeline.avala import connect
from alaas_pipeline.avala.client import AvalaClient
from alaas_pipeline.avala.effects import AvalaEffects
from alaas_pipeline.config import PoolSettings
from alaas_pipeline.engine.encoder import Encoder, load_encoder
from alaas_pipeline.home import Home
from alaas_pipeline.ledger import Ledger
from alaas_pipeline.remote.s3 import told
from alaas_pipeline.sources import Source, open_source
from alaas_pipeline.store import open_store


class Pools(dg.ConfigurableResource):
    """The pool service, with the ledger and the store it works on."""

    home: str

    def service(self) -> PoolService:
        """Return the embedded pool service."""
        home = Home(Path(self.home))
        return PoolService(Ledger(home.ledger), open_store(home), home)


class Encoders(dg.ConfigurableResource):
    """Image encoders of open_clip, and the offline default."""

    cache: str
    device: str = "auto"
    threads: int | None = None

    def load(self, spec: str) -> Encoder:
        """Load the encoder that a pool names; takes seconds and memory."""
        return load_encoder(spec, cache=Path(self.cache), device=self.device, threads=self.threads)


class Avala(dg.ConfigurableResource):
    """The annotation platform of a pool: Avala, or the local sandbox."""

    home: str

    def client(self, settings: PoolSettings, *, hurried: bool = False) -> AvalaClient:
        """Return a client that can read; close it after use. A hurried one gives up within seconds."""
        return connect.connect(settings, Home(Path(self.home)), hurried=hurried)

    @contextmanager
    def connected(self, settings: PoolSettings, *, look_only: bool = False) -> Iterator[AvalaEffects]:
        """Yield what may change something on the platform, or with `look_only` nothing, with a client of its own."""
        home = Home(Path(self.home))
        with self.client(settings) as client:
            yield AvalaEffects(Ledger(home.ledger), client, home.locks, look_only=look_only)


class Sources(dg.ConfigurableResource):
    """Where a pool's images are: as its setting says; on S3 with the credentials and the endpoint that AWS's own environment names."""

    def open(self, settings: PoolSettings) -> Source:
        """Return the pool's source; nothing is read yet."""
        return open_source(settings.source, Path.cwd(), _s3_client)


def _s3_client() -> Any:
    # The package takes a second to import, and every run is a process of its own.
    from dagster_aws.s3 import S3Resource

    with told("S3", "used"):
        return S3Resource().get_client()
