"""Image towers, rebuilt to run fast on a processor. Imported only where torch is wanted.

Weights are stored as they are computed with and the whole is frozen, so that nothing is converted for each batch.
Convolutional towers have each batch normalisation folded into the convolution before it. Where the processor computes in
bfloat16 all but the first quarter of their convolutions do: errors made early are carried through the whole net, and for
pictures of little contrast they cost too much there. Any other tower does so throughout, or stays as it was made.
"""

import copy
import logging
import warnings
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

log = logging.getLogger(__name__)


def rebuild(visual: "torch.nn.Module", sample: "torch.Tensor", half: bool, *, straight: bool) -> Any:
    """Rebuilds a tower for inference.

    Args:
        visual: The tower in float32, on the CPU; left as it is.
        sample: Some prepared pictures. Whether the result is near enough to the tower is for the caller to measure.
        half: Whether the processor computes in bfloat16.
        straight: Whether it is known to do the same whatever it sees; where it is not, a tower that looks as if it did
            one thing or another stays as it is, since one way would be frozen.

    Returns:
        What computes the same for any number of pictures of that size, or None where nothing would be gained.
    """
    import torch

    try:
        tower = _folded(visual, sample, half)
        if tower is None:
            if not half:
                return None
            tower = torch.nn.Sequential(copy.deepcopy(visual))
            _compute_in(tower, torch.bfloat16)
        # torch calls its own tracer outdated; what it offers instead needs a compiler on the machine.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if not straight:
                warnings.simplefilter("error", torch.jit.TracerWarning)  # pyright: ignore[reportPrivateImportUsage]
            return torch.jit.freeze(torch.jit.trace(tower.eval(), sample, check_trace=False))
    except Exception as error:
        log.info("The encoder runs as it was made; it could not be rebuilt (%s).", type(error).__name__)
        return None


def _folded(visual: "torch.nn.Module", sample: "torch.Tensor", half: bool) -> "torch.nn.Module | None":
    """Folds a tower of convolutions, batch normalisations and linear layers; any other gives None."""
    import torch

    tower = copy.deepcopy(visual)
    order = _convolutions_as_they_run(tower, sample[:1])
    _fold(tower)
    layers = [module for module in tower.modules() if next(module.parameters(recurse=False), None) is not None]
    if not order or not all(isinstance(layer, (torch.nn.Conv2d, torch.nn.Linear)) for layer in layers):
        return None
    if half:
        for layer in layers:
            early = layer in order and order.index(layer) < len(order) / 4
            _compute_in(layer, _careful() if early else torch.bfloat16)
    return tower.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]


def _careful() -> "torch.dtype":
    import torch

    test = getattr(torch.cpu, "_is_avx512_fp16_supported", None) or getattr(torch.cpu, "_is_amx_fp16_supported", None)
    return torch.float16 if test is not None and test() else torch.float32


def _convolutions_as_they_run(tower: "torch.nn.Module", sample: "torch.Tensor") -> list["torch.nn.Module"]:
    import torch

    order: list[torch.nn.Module] = []
    hooks = [
        module.register_forward_hook(lambda module, _inputs, _out: order.append(module))
        for module in tower.modules()
        if isinstance(module, torch.nn.Conv2d)
    ]
    tower(sample)
    for hook in hooks:
        hook.remove()
    return order


def _fold(tower: "torch.nn.Module") -> None:
    """Folds each normalisation into the convolution declared before it; a net that runs in another order will not agree."""
    import torch
    from torch.nn.utils.fusion import fuse_conv_bn_weights

    before: torch.nn.Conv2d | None = None
    for name, child in list(tower.named_children()):
        if isinstance(child, torch.nn.Conv2d):
            before = child
        elif isinstance(child, torch.nn.BatchNorm2d) and before is not None:
            norm: Any = child
            before.weight, before.bias = fuse_conv_bn_weights(
                before.weight, before.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            )
            # timm's normalisations hold the activation that follows.
            rest = [getattr(child, part, torch.nn.Identity()) for part in ("drop", "act")]
            setattr(tower, name, torch.nn.Sequential(*rest))
            before = None
        else:
            _fold(child)


def _compute_in(layer: "torch.nn.Module", kind: "torch.dtype") -> None:
    layer.to(kind)
    layer.register_forward_pre_hook(lambda _module, inputs: tuple(value.to(kind) for value in inputs))
