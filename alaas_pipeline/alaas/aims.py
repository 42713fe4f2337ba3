"""A pool's aims, from its settings and from what the ledger knows of its images."""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from alaas_pipeline.config import PoolAims
from alaas_pipeline.engine.aims import Aims, Cap
from alaas_pipeline.errors import UserError
from alaas_pipeline.ledger import Transaction, facts, images

log = logging.getLogger(__name__)

GROUP = "group"


def aims_of(tx: Transaction, pool: str, settings: PoolAims, pickable: Collection[str]) -> tuple[Aims, set[str]]:
    """Read the pool's aims, in digests.

    Args:
        tx: of the ledger.
        pool: the pool's key.
        settings: as `pools.yaml` has them.
        pickable: digests that could be picked; of `must`, the others are passed over and told.

    Returns:
        The engine's aims, and the digests that are never to be picked.

    Raises:
        UserError: a list cannot be read, an image is in both, or a cap is of something that no manifest tells.
    """
    digest_of = images.digests_by_path(tx, pool) if settings.must or settings.never else {}
    must, never = (_listed(path, digest_of) for path in (settings.must, settings.never))
    both = [path for path, digest in must.items() if digest in set(never.values())]
    if both:
        raise UserError(
            f"Pool '{pool}': '{both[0]}' stands in the lists of `must` and of `never`. Take it out of one of them."
        )
    passed = [path for path, digest in must.items() if digest not in pickable]
    if passed:
        log.info(
            "%s: %d images of `must` are picked or labelled already, or cannot be picked; first: %s",
            pool,
            len(passed),
            passed[0],
        )
    caps = [_cap(tx, pool, name, most) for name, most in settings.caps.items()]
    if settings.skip_near_duplicates:
        caps.append(Cap(images.near_groups(tx, pool), 1, ever=True))
    wanted = tuple(dict.fromkeys(digest for digest in must.values() if digest in pickable))
    return Aims(wanted, caps, settings.min_distance), set(never.values())


def _listed(path: str | None, digest_of: Mapping[str, str]) -> dict[str, str]:
    """Path -> digest of the images that a file lists, a path a line."""
    if path is None:
        return {}
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"The list {path} cannot be read: {error}. It holds the path of an image in each line."
        ) from None
    names = [line.strip() for line in lines if line.strip()]
    unknown = [name for name in names if name not in digest_of]
    if unknown:
        log.warning("%s lists %d images that the pool does not have; first: %s", path, len(unknown), unknown[0])
    return {name: digest_of[name] for name in names if name in digest_of}


def _cap(tx: Transaction, pool: str, name: str, most: int) -> Cap:
    """A cap on the manifest's groups or on one of its columns; of an image's several files the first that tells counts."""
    values: dict[str, str] = {}
    for digest, told in facts.of_pool(tx, pool).items():
        found = [one.group if name == GROUP else one.values.get(name) for one in told]
        if known := [value for value in found if value is not None]:
            values[digest] = str(known[0])
    if not values:
        raise UserError(
            f"Pool '{pool}' has a cap on '{name}', and no row of its manifest tells a '{name}'. Correct `aims.caps`, or add the column and "
            "materialize 'images'."
        )
    return Cap(values, most)
