"""Lets torchvision import beside a CPU build of torch.

The torchvision wheels on PyPI are linked to CUDA libraries, which a CPU machine lacks; importing
torchvision then fails with "operator torchvision::nms does not exist", and open_clip and timm with it. Its
import only needs two operators to be declared; nothing here ever calls them.
"""

import importlib.util
import threading
from pathlib import Path
from typing import Any

_held: dict[str, Any] = {}
# An operator may be declared once; encoders are built in several threads.
_one_at_a_time = threading.Lock()


def ensure_torchvision() -> bool:
    """Declares the missing operators; call it before torchvision, timm or open_clip is first imported.

    Returns:
        True if stand-ins are in place, False where torchvision is healthy or absent.
    """
    with _one_at_a_time:
        return _ensure()


def _ensure() -> bool:
    import torch
    from torch import library as operators

    if _held:
        return True
    spec = importlib.util.find_spec("torchvision")
    if spec is None or spec.origin is None:
        return False
    libraries = sorted(Path(spec.origin).parent.glob("_C*.so"))
    try:
        if libraries:
            torch.ops.load_library(str(libraries[0]))
            return False
    except OSError:
        pass
    # The declarations live as long as this object is referenced.
    library = operators.Library("torchvision", "FRAGMENT")
    for name in ("nms", "qnms"):
        library.define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    _held["library"] = library
    return True
