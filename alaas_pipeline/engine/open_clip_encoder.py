"""The image side of an open_clip model as an encoder. Imported only where torch is wanted."""

import hashlib
import json
import logging
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from alaas_pipeline.engine.frozen_tower import rebuild

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray
    from PIL import Image

log = logging.getLogger(__name__)

# Part of the encoder's id. To be raised when the same weights come to give vectors further than a cosine of 0.995 from before.
COMPUTED: Final = 2
_MOST_LENGTHS = 32
# To float32, on made pictures. Any two ways that keep it are within 0.995 of each other, so they may share an id.
_LEAST_COSINE: Final = 0.9988
_MOST_LANES: Final = 16
# More at once take memory that the C library gives back and asks for again with each batch: a quarter of the time.
_BATCH_OF_CONVOLUTIONS: Final = 2
_BATCH: Final = 8
_BATCH_ON_GPU: Final = 128


class OpenClipEncoder:
    """Encodes pictures with the image tower of an open_clip model.

    Runs in bfloat16 where the processor or GPU computes in it and the vectors of made pictures stay what they are in
    float32, otherwise in float32.

    Attributes:
        encoder_id: Architecture and 12 hexadecimal digits over the weights and the preprocessing.
        dim: Entries of a vector.
        lanes: Batches that may be encoded at the same time, each in a thread of its own.
        batch_size: Pictures in a batch.
        draft_side: JPEGs may be decoded at a reduced size whose sides are no shorter than this; None: not at all.
        takes_grey: Pictures in mode "L" become what they would in "RGB", and are scaled in half the time.
    """

    def __init__(
        self,
        visual: "torch.nn.Module",
        preprocess: "Callable[[Image.Image], Any]",
        device: str,
        processors: int = 1,
    ) -> None:
        """Takes over a tower as open_clip made it: float32, on the CPU.

        Args:
            visual: The image tower, with open_clip's `preprocess_cfg` on it.
            preprocess: open_clip's transform for inference.
            device: A torch device.
            processors: How many it may keep busy. On a CPU they are divided among the lanes.
        """
        import torch

        config: dict[str, Any] = getattr(visual, "preprocess_cfg")  # noqa: B009 - torch types it as a tensor
        self._preprocess, self._norm = _split(preprocess)
        self._cut_to_middle = config.get("resize_mode", "shortest") == "shortest"
        self._device = torch.device(device)
        self.encoder_id = f"{_architecture(visual)}-{_digest(visual, config)}"
        size = config["size"]
        height, width = (size, size) if isinstance(size, int) else size
        # What a team's own module does is not known.
        known = config.get("resize_mode", "shortest") in ("shortest", "longest", "squash")
        self.draft_side = 2 * max(height, width) if known else None
        steps = [type(step).__name__ for step in getattr(preprocess, "transforms", ())]
        self.takes_grey = known and "MaybeConvertMode" in steps
        on_cpu = self._device.type == "cpu"
        self.lanes = min(processors, _MOST_LANES) if on_cpu else 2
        self._threads = max(1, processors // self.lanes) if on_cpu else 1
        convolutions = sum(isinstance(module, torch.nn.Conv2d) for module in visual.modules())
        # One convolution is the patch embedding of a transformer.
        convolutional = convolutions > 2
        self._layout = torch.channels_last if convolutional else torch.contiguous_format
        self.batch_size = (_BATCH_OF_CONVOLUTIONS if convolutional else _BATCH) if on_cpu else _BATCH_ON_GPU
        self._tower: Any = visual.eval().requires_grad_(False).to(self._device)
        # Typed as if only tensors had layouts.
        self._tower.to(memory_format=self._layout)
        self._half = False
        self._choose(_made_pictures(height, width), straight=known)

    def _choose(self, sample: "torch.Tensor", *, straight: bool) -> None:
        """Takes the fastest way to compute that keeps the vectors."""
        import torch

        exact, half = self._vectors(sample), _computes_in_bfloat16(self._device)
        self.dim = int(exact.shape[1])

        def keeps() -> bool:
            # Also for a number of pictures that it was not rebuilt with.
            try:
                vectors = np.concatenate([self._vectors(sample), self._vectors(sample[:1])])
            except RuntimeError:
                return False
            return float((vectors * np.concatenate([exact, exact[:1]])).sum(axis=1).min()) >= _LEAST_COSINE

        tower = self._tower
        if self._device.type != "cpu":
            # A processor would convert all weights for each batch so.
            self._half = half
            self._half = half and keeps()
        for narrow in dict.fromkeys((half, False)) if self._device.type == "cpu" else ():
            with torch.inference_mode():
                rebuilt = rebuild(tower, sample.contiguous(memory_format=self._layout), narrow, straight=straight)
            self._tower = tower if rebuilt is None else rebuilt
            if keeps():
                break
            self._tower = tower
            log.info("The encoder's vectors would not be the same %s.", "in bfloat16" if narrow else "rebuilt")

    def prepare(self, image: "Image.Image") -> "torch.Tensor":
        """Applies the model's own preprocessing to one RGB picture; safe in threads.

        Where that ends in the usual division and normalisation, this ends before them, with bytes of shape
        (3, height, width): a whole batch is divided and normalised at once.
        """
        import torch

        ready = self._preprocess(_middle(image) if self._cut_to_middle else image)
        return ready if self._norm is None else torch.from_numpy(np.array(ready)).permute(2, 0, 1)

    def encode(self, images: "Sequence[Image.Image]") -> "NDArray[np.float32]":
        """Returns unit vectors, float32 of shape (images, dim)."""
        return self.encode_prepared([self.prepare(image) for image in images])

    def encode_prepared(self, prepared: "Sequence[torch.Tensor]") -> "NDArray[np.float32]":
        """Returns unit vectors for what `prepare` made, float32 of shape (pictures, dim)."""
        import torch

        if not prepared:
            return np.empty((0, self.dim), np.float32)
        return np.concatenate(
            [
                self._vectors(torch.stack(list(prepared[start : start + self.batch_size])))
                for start in range(0, len(prepared), self.batch_size)
            ]
        )

    def _vectors(self, batch: "torch.Tensor") -> "NDArray[np.float32]":
        import torch

        # It counts for the thread that says it.
        torch.set_num_threads(self._threads)
        if self._device.type == "cuda":
            batch = batch.pin_memory()
        batch = batch.to(self._device, memory_format=self._layout, non_blocking=True)
        if self._norm is not None and batch.dtype == torch.uint8:
            scale, shift = (values.to(self._device) for values in self._norm)
            batch = (batch * scale).add_(shift)
        with (
            torch.inference_mode(),
            torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._half),
        ):
            out = self._tower(batch)
        # Towers with captioning return the tokens beside the pooled vector.
        pooled = out[0] if isinstance(out, tuple) else out
        return torch.nn.functional.normalize(pooled.float(), dim=-1).cpu().numpy()


def _split(preprocess: Any) -> tuple[Any, "tuple[torch.Tensor, torch.Tensor] | None"]:
    """Takes the last two steps off: what remains ends in a picture, and they become one scale and shift for each channel."""
    import torch

    steps: list[Any] = list(getattr(preprocess, "transforms", ()))
    known = len(steps) > 2 and type(steps[-2]).__name__ in ("ToTensor", "MaybeToTensor")
    if not known or type(steps[-1]).__name__ != "Normalize":
        return preprocess, None
    mean, std = (
        torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1) for values in (steps[-1].mean, steps[-1].std)
    )
    return type(preprocess)(steps[:-2]), ((1 / (255 * std)).float(), (-mean / std).float())


def _made_pictures(height: int, width: int) -> "torch.Tensor":
    """Smooth noise in all strengths, since errors grow as contrast goes."""
    import torch

    drawn = torch.Generator().manual_seed(0)
    pictures = []
    for contrast, cells in ((0.05, 4), (0.2, 8), (0.5, 16), (1.0, 56)):
        noise = torch.rand(1, 3, cells, cells, generator=drawn) * 2 - 1
        pictures.append(contrast * torch.nn.functional.interpolate(noise, (height, width), mode="bilinear"))
    return torch.cat(pictures)


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

    digest = hashlib.sha256(f"{COMPUTED} {json.dumps(config, sort_keys=True)}".encode())
    for name, tensor in sorted(visual.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()[:12]
