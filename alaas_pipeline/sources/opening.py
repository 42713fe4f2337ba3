"""From a pool's setting to its source."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from alaas_pipeline.remote import open_objects
from alaas_pipeline.remote.s3 import connect
from alaas_pipeline.sources.base import Source, parse_source
from alaas_pipeline.sources.folder import FolderSource
from alaas_pipeline.sources.keyed import KeyedSource
from alaas_pipeline.sources.listed import ManifestSource


def open_source(source: str, base: Path, client: Callable[[], Any] = connect) -> Source:
    """Return the source that a setting names; nothing is read yet.

    Args:
        source: as `parse_source` takes it.
        base: the folder that relative paths start from.
        client: makes a client of S3; called only where one is needed.

    Raises:
        UserError: the setting is wrong, or the package of its scheme is missing.
    """
    kind, place, *prefix = parse_source(source, base)
    if kind == "folder":
        return FolderSource(Path(place))
    if kind == "manifest":
        return ManifestSource(Path(place), client)
    name = f"{kind}://{place}/{prefix[0]}"
    return KeyedSource(open_objects(kind, place, name, client), name, prefix[0])
