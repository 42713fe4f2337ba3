"""What a pick of a folder leaves behind: the page, and copies of the picked images."""

import logging
import os
from collections.abc import Sequence
from pathlib import Path, PurePosixPath

from alaas_pipeline.engine.images import RefusedImage, content_digest, thumbnail
from alaas_pipeline.engine.picks import Selection
from alaas_pipeline.errors import UserError
from alaas_pipeline.picking.folder import Images
from alaas_pipeline.picking.sheet import Sheet, pick_sheet

log = logging.getLogger(__name__)

_THUMBNAIL_SIDE = 256


def check_page(out: Path) -> None:
    """Refuse a place where the page cannot be written.

    Raises:
        UserError: its folder is missing, or it is a folder itself.
    """
    if out.is_dir() or not out.absolute().parent.is_dir():
        raise UserError(f"The page cannot be written to {out}. Give --out a file in a folder that exists.")


def check_copies(target: Path, folder: Path) -> None:
    """Refuse a place for copies that would mix them with other files.

    Raises:
        UserError: it holds files already, is no folder, or lies in the folder of images.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} is not an empty folder. Give --copy-to a new one.")
    if target.resolve().is_relative_to(folder.resolve()):
        raise UserError(
            f"{target} lies in {folder}: the copies would be among its images the next time. Give --copy-to a folder elsewhere."
        )


def copy_picks(images: Images, picked: Sequence[str], target: Path) -> dict[str, str]:
    """Copy picked images, named by their place in the pick order and their own name.

    Returns:
        What could not be copied, with the reason; the others are there.
    """
    target.mkdir(parents=True, exist_ok=True)
    digests = dict(zip(images.paths, images.digests, strict=True))
    failed: dict[str, str] = {}
    for place, path in enumerate(picked, start=1):
        try:
            data = images.read(path)
        except UserError as error:
            failed[path] = str(error)
            continue
        if content_digest(data) != digests[path]:
            failed[path] = "The file changed since it was picked; pick again."
            continue
        with (target / f"{place:0{len(str(len(picked)))}d}_{PurePosixPath(path).name}").open("xb") as file:
            file.write(data)
    return failed


def write_page(images: Images, strategy: str, selection: Selection, out: Path) -> None:
    """Write the page of picks, whole or not at all; a page that stood there is replaced."""
    picked = [pick.id for pick in [*selection.representatives, *selection.outliers]]
    page = pick_sheet(
        Sheet(
            folder=images.source.root.resolve().name,
            strategy=strategy,
            encoder_id=images.encoder_id,
            images=len(images.paths),
            selection=selection,
            thumbnails={path: small for path in picked if (small := _thumbnail(images, path))},
            bad=images.bad,
        )
    )
    unfinished = out.with_name(f".{out.name}.{os.getpid()}.part")
    try:
        unfinished.write_text(page, encoding="utf-8")
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)


def _thumbnail(images: Images, path: str) -> bytes:
    try:
        return thumbnail(images.read(path), _THUMBNAIL_SIDE)
    except (RefusedImage, UserError) as error:
        log.info("No picture for %s: %s", path, error)
        return b""
