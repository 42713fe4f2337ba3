"""Encoders: pictures to unit vectors, through open_clip.

An encoder is named by a spec:

- "efficientnet-lite0": the default; needs no download.
- "NAME/PRETRAINED": any model of open_clip, such as "ViT-B-32/laion2b_s34b_b79k".
- "NAME//PATH": the same with weights of your own, a checkpoint file.
- "local-dir:PATH": a folder with open_clip_config.json and weights.
- "hf-hub:ORG/NAME": an open_clip model on the Hugging Face hub.
- "python:MODULE:FUNCTION": your own. The function returns a torch module, which makes vectors of batches of float32, and
  its preprocessing, which makes a tensor of a picture. The `repr` of the latter is a part of the encoder's id.
"""

import difflib
import importlib
import importlib.util
import logging
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final, Protocol, runtime_checkable

from alaas_pipeline.engine.torchvision_shim import ensure_torchvision
from alaas_pipeline.errors import UserError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image

log = logging.getLogger(__name__)

DEFAULT_ENCODER: Final = "efficientnet-lite0"
_LOCAL: Final = "local-dir:"
_HUB: Final = "hf-hub:"
_PYTHON: Final = "python:"


class Encoder(Protocol):
    """Turns pictures into vectors.

    Attributes:
        encoder_id: Safe in file names; the same for the same weights and preprocessing on any machine.
        dim: Entries of a vector.
    """

    encoder_id: str
    dim: int

    def encode(self, images: "Sequence[Image.Image]") -> "NDArray[np.float32]":
        """Returns float32 of shape (images, dim), finite and of unit length."""
        ...


@runtime_checkable
class PreparingEncoder(Protocol):
    """An encoder whose per-picture work can be done in other threads, ahead of the model.

    It may also have `batch_size`; `lanes`, so many batches are then encoded at once, in the same threads;
    `draft_side`, the pixels that no side of a JPEG decoded at a reduced size may fall short of; and `takes_grey`, whether
    `prepare` makes the same of a picture in mode "L" as of one in "RGB".
    """

    def prepare(self, image: "Image.Image") -> Any:
        """Turns one picture into what the model takes; must be safe to call from several threads."""
        ...

    def encode_prepared(self, prepared: Sequence[Any]) -> "NDArray[np.float32]":
        """As `Encoder.encode`, on what `prepare` returned."""
        ...


def validate_spec(spec: str) -> None:
    """Checks an encoder's spec without importing torch.

    Raises:
        ValueError: No encoder can have this spec; the message says what would work.
    """
    kinds = f'"{DEFAULT_ENCODER}", "NAME/PRETRAINED", "local-dir:PATH", "hf-hub:ORG/NAME" or "python:MODULE:FUNCTION"'
    if spec == DEFAULT_ENCODER:
        return
    if spec.startswith(_LOCAL):
        if not spec.removeprefix(_LOCAL).strip():
            raise ValueError(f"The encoder {spec!r} lacks a folder: write local-dir:PATH.")
        return
    if spec.startswith(_HUB):
        if not re.fullmatch(r"[\w.-]+/[\w.-]+(@[\w./-]+)?", spec.removeprefix(_HUB)):
            raise ValueError(f"The encoder {spec!r} is not a hub model: write hf-hub:ORG/NAME.")
        return
    if spec.startswith(_PYTHON):
        if not re.fullmatch(r"[\w.]+:\w+", spec.removeprefix(_PYTHON)):
            raise ValueError(f"The encoder {spec!r} names no function: write python:MODULE:FUNCTION.")
        return
    name, slash, pretrained = spec.partition("/")
    if not slash or not name or not pretrained:
        near = difflib.get_close_matches(spec, [DEFAULT_ENCODER], cutoff=0.6)
        hint = f" Did you mean {near[0]!r}?" if near else ""
        raise ValueError(f"The encoder {spec!r} is unknown: use {kinds}.{hint}")
    known = _model_names()
    if known and name not in known:
        near = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
        hint = f" Near names: {', '.join(near)}." if near else ""
        raise ValueError(f"The encoder {spec!r} names a model that open_clip does not have.{hint}")


def load_encoder(spec: str, *, cache: Path, device: str = "auto", threads: int | None = None) -> Encoder:
    """Loads an encoder; only its image side stays in memory.

    Args:
        spec: See the module's text.
        cache: Where the default model is built once; downloads go to the usual cache of the hub.
        device: "auto" (a CUDA GPU when there is one), or a torch device such as "cpu" or "cuda:1".
        threads: Processors to keep busy; by default those that this process may use.

    Returns:
        The encoder, warmed up.

    Raises:
        ValueError: As `validate_spec`.
        UserError: The model cannot be had; the message names the spec and the remedy.
    """
    validate_spec(spec)
    import torch

    ensure_torchvision()
    from alaas_pipeline.engine.open_clip_encoder import OpenClipEncoder

    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    model, preprocess = _load(spec, cache)
    encoder = OpenClipEncoder(model.visual, preprocess, device, threads or usable_processors())
    log.info("Encoder %s is ready on %s, %d entries a vector.", encoder.encoder_id, device, encoder.dim)
    return encoder


def usable_processors() -> int:
    """Counts the processors this process may use, by its affinity and its container's quota."""
    count = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
    except (OSError, ValueError):
        return count
    return count if quota == "max" else max(1, min(count, int(quota) // int(period)))


def _load(spec: str, cache: Path) -> tuple[Any, Any]:
    import open_clip

    if spec == DEFAULT_ENCODER:
        from alaas_pipeline.engine.offline_encoder import lite0_folder

        folder = lite0_folder(cache)
        return _load_folder(folder, f"delete {folder}, and it is made anew")
    if spec.startswith(_LOCAL):
        return _load_folder(Path(spec.removeprefix(_LOCAL)).expanduser(), "save the model there with open_clip again")
    if spec.startswith(_PYTHON):
        return _load_own(spec)
    name, pretrained, gelu = spec, None, False
    if not spec.startswith(_HUB):
        name, _, pretrained = spec.partition("/")
        tags: list[str] = open_clip.list_pretrained_tags_by_model(name)
        if pretrained not in tags and not Path(pretrained).is_file():
            offer = ", ".join(tags) or "none for this model"
            raise UserError(f"The encoder {spec!r} names weights that open_clip does not have; it has: {offer}.")
        # Some weights were trained with another activation than the model's default; open_clip only warns.
        gelu = bool((open_clip.get_pretrained_cfg(name, pretrained) or {}).get("quick_gelu", False))
    try:
        with _root_logger_left_alone():
            made: Any = open_clip.create_model_from_pretrained(name, pretrained, force_quick_gelu=gelu)
            return made
    except Exception as error:
        raise UserError(
            f"The encoder {spec!r} could not be loaded ({type(error).__name__}). If its weights are not on this "
            "machine yet, connect it to the network once, or fetch them elsewhere and use local-dir:PATH; "
            f"{DEFAULT_ENCODER!r} needs no download."
        ) from error


def _load_folder(folder: Path, remedy: str) -> tuple[Any, Any]:
    import open_clip

    if not (folder / "open_clip_config.json").is_file():
        raise UserError(f"The encoder's folder {folder} has no open_clip_config.json: {remedy}.")
    try:
        with _root_logger_left_alone():
            made: Any = open_clip.create_model_from_pretrained(f"{_LOCAL}{folder}")
            return made
    except Exception as error:
        raise UserError(f"The encoder in {folder} could not be loaded ({type(error).__name__}): {remedy}.") from error


def _load_own(spec: str) -> tuple[Any, Any]:
    from PIL import Image

    module, _, function = spec.removeprefix(_PYTHON).partition(":")
    try:
        tower, preprocess = getattr(importlib.import_module(module), function)()
        size = list(preprocess(Image.new("RGB", (640, 480))).shape[-2:])
    except Exception as error:
        raise UserError(
            f"The encoder {spec!r} could not be made ({type(error).__name__}). Its module must be importable, and the "
            "function must return a torch module and its preprocessing of a picture."
        ) from error
    if " at 0x" in repr(preprocess):
        raise UserError(
            f"The encoder {spec!r}: the repr of its preprocessing must say what it does, since vectors of one id are "
            "compared with each other. Give its class a __repr__, or use torchvision's transforms."
        )
    tower.preprocess_cfg = {"size": size, "preprocess": repr(preprocess), "resize_mode": "own"}
    return SimpleNamespace(visual=tower), preprocess


@contextmanager
def _root_logger_left_alone() -> Iterator[None]:
    # open_clip chats through the root logger, which installs a handler of its own where there is none.
    root, guard = logging.getLogger(), logging.NullHandler()
    root.addHandler(guard)
    root.addFilter(_is_warning)
    try:
        yield
    finally:
        root.removeFilter(_is_warning)
        root.removeHandler(guard)


def _is_warning(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING


def _model_names() -> list[str]:
    spec = importlib.util.find_spec("open_clip")
    if spec is None or spec.origin is None:
        return []
    return sorted(path.stem for path in (Path(spec.origin).parent / "model_configs").glob("*.json"))
