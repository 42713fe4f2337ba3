"""The image side of an open_clip model as an encoder. Imported only where torch is wanted."""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from PIL import Image


_MOST_LENGTHS = 32


class OpenClipEncoder:
    """Encodes pictures with the image tower of an open_clip model.

    Runs in bfloat16 where the processor or GPU computes in it (cosine to float32 at least 0.995), otherwise
    in float32, and keeps convolutional towers in channels-last layout.

    Attributes:
        encoder_id: Architecture and 12 hexadecimal digits over the weights and the preprocessing.
        dim: Entries of a vector.
    """

    def __init__(self, visual: "torch.nn.Module", preprocess: "Callable[[Image.Image], Any]", device: str) -> None:
        """Takes over a tower as open_clip made it: float32, on the CPU.

        Args:
            visual: The image tower, with open_clip's `preprocess_cfg` on it.
            preprocess: open_clip's transform for inference.
            device: A torch device.
        """
        import torch

        config: dict[str, Any] = getattr(visual, "preprocess_cfg")  # noqa: B009 - torch types it as a tensor
        name = _architecture(visual)
        self._preprocess = preprocess
        self._cut_to_middle = config.get("resize_mode", "shortest") == "shortest"
        self._device = torch.device(device)
        convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in visual.modules())
        # One convolution is the patch embedding of a transformer.
        self._layout = torch.channels_last if convolutions > 2 else torch.contiguous_format
        digest = _digest(visual, config)
        self._visual = visual.eval().requires_grad_(False).to(self._device)
        # Typed as if only tensors had layouts.
        self._visual.to(memory_format=self._layout)  # pyright: ignore[reportCallIssue]
        self._half = _computes_in_bfloat16(self._device)
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else size
        self.dim = int(self._forward(torch.zeros(1, 3, height, width)).shape[1])
        self.encoder_id = f"{name}-{digest}"

    def prepare(self, image: "Image.Image") -> "torch.Tensor":
        """Applies the model's own preprocessing to one RGB picture; safe in threads."""
        return self._preprocess(_middle(image) if self._cut_to_middle else image)

    def encode(self, images: "Sequence[Image.Image]") -> "NDArray[np.float32]":
        """Returns unit vectors, float32 of shape (images, dim)."""
        return self.encode_prepared([self.prepare(image) for image in images])

    def encode_prepared(self, prepared: "Sequence[torch.Tensor]") -> "NDArray[np.float32]":
        """Returns unit vectors for what `prepare` made, float32 of shape (pictures, dim)."""
        import torch

        if not prepared:
            return np.empty((0, self.dim), np.float32)
        features = self._forward(torch.stack(list(prepared)))
        return torch.nn.functional.normalize(features, dim=-1).cpu().numpy()

    def _forward(self, batch: "torch.Tensor") -> "torch.Tensor":
        import torch

        batch = batch.to(self._device, memory_format=self._layout, non_blocking=True)
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half),
        ):
            out = self._visual(batch)
        # Towers with captioning return the tokens beside the pooled vector.
        pooled = out[0] if isinstance(out, tuple) else out
        return pooled.float()


def _middle(image: "Image.Image") -> "Image.Image":
    """Cuts the ends off a very long picture, of which only the square in the middle is looked at.

    The preprocessing enlarges the whole before it cuts: 1 x 30,000 pixels would become 1,500 million.
    """
    longest = _MOST_LENGTHS * min(image.size)
    left, top = (max(0, side - longest) // 2 for side in image.size)
    return image.crop((left, top, image.width - left, image.height - top)) if left or top else image


def _computes_in_bfloat16(device: "torch.device") -> bool:
    import torch

    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        # Elsewhere bfloat16 is emulated, and slower than float32.
        tests = (getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported"))
        return any(test() for test in tests if test is not None)
    return False


def _architecture(visual: "torch.nn.Module") -> str:
    trunk: Any = getattr(visual, "trunk", None)
    name = getattr(trunk, "default_cfg", {}).get("architecture") if trunk is not None else None
    return re.sub(r"[^a-z0-9]+", "-", str(name or type(visual).__name__).lower()).strip("-")


def _digest(visual: "torch.nn.Module", config: dict[str, Any]) -> str:
    import torch

    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for name, tensor in sorted(visual.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]
