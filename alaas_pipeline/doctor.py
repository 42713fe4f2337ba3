"""Look over an installation and say what to mend; nothing is changed but the lock file that any look at the ledger needs."""

import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from alaas_pipeline.avala.connect import base_url_of, connect
from alaas_pipeline.config import PoolSettings, load_settings
from alaas_pipeline.engine.torchvision_shim import ensure_torchvision
from alaas_pipeline.errors import UserError
from alaas_pipeline.home import Home, get_home
from alaas_pipeline.ledger import Ledger
from alaas_pipeline.store import open_store


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at, and what was seen."""

    what: str
    ok: bool
    says: str


def examine() -> Iterator[Finding]:
    """Yield findings, the ground first: Python, state, libraries, pools, then each pool's platform."""
    yield Finding("Python", sys.version_info >= (3, 11), sys.version.split()[0])
    try:
        home = get_home()
    except UserError as error:
        yield Finding("state folder", False, str(error))
        return
    yield _try("state folder", lambda: _state(home))
    yield _try("ledger", lambda: _ledger(home))
    yield _try("files", lambda: _files(home))
    yield _try("encoder libraries", _libraries)
    try:
        settings = load_settings()
    except UserError as error:
        yield Finding("pools.yaml", False, str(error))
        return
    yield Finding("pools.yaml", True, f"{settings.path}: {', '.join(pool.key for pool in settings.pools)}")
    for pool in settings.pools:
        yield _try(f"pool {pool.key}", lambda pool=pool: _platform(pool, home))


def _try(what: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(what, True, look())
    except (UserError, OSError, ImportError) as error:
        return Finding(what, False, str(error))


def _state(home: Home) -> str:
    if home.root.exists() and not home.root.is_dir():
        raise UserError(f"{home.root} is a file. Set ALAAS_HOME to a folder.")
    home.root.mkdir(parents=True, exist_ok=True)
    if not os.access(home.root, os.W_OK):
        raise UserError(f"{home.root} cannot be written to. Set ALAAS_HOME to a folder of yours.")
    return str(home.root)


def _ledger(home: Home) -> str:
    if not home.ledger.exists():
        return "not made yet; the first run makes it"
    with Ledger(home.ledger, lock_timeout_s=10).transaction() as tx:
        return f"schema version {tx.value('SELECT max(version) FROM schema_versions')}"


def _files(home: Home) -> str:
    store = open_store(home)
    # Any look asks a remote store for its rights.
    store.exists("doctor")
    return store.root


def _libraries() -> str:
    ensure_torchvision()
    import faiss
    import open_clip
    import torch

    place = "a CUDA GPU" if torch.cuda.is_available() else "the CPU"
    return f"torch {torch.__version__} on {place}, open_clip {open_clip.__version__}, faiss {faiss.__version__}"


def _platform(pool: PoolSettings, home: Home) -> str:
    where = base_url_of(pool, home)
    with connect(pool, home, hurried=True) as client:
        user = client.me()
        template = client.project(pool.avala.template)
    return f"{pool.platform} at {where} answers as '{user.username or user.uid}'; template '{template.name}' ({template.task_type})"
