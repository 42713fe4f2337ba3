"""Matrix products of small whole numbers: exact on every machine, and on the matrix unit of those that have one.

Entries up to 256 are exact in bfloat16, and sums below 2**24 are exact in float32. So whole numbers that stay within both come
out the same whichever unit multiplies them, in whatever order.
"""

import sys
import threading
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

# Below so many multiplications a call, the matrix unit gains nothing.
_WORTH: Final = 1 << 26
# The library that reaches the unit takes a second or two to load.
_LARGE: Final = 200_000
# The precision of torch is a setting of the whole process.
_setting = threading.Lock()


def product(left: "NDArray[np.float32]", right: "NDArray[np.float32]") -> "NDArray[np.float32]":
    """Multiplies whole numbers, `left @ right.T`.

    Args:
        left: Shape (rows, width); whole numbers that bfloat16 holds: up to 256, or powers of two.
        right: Shape (others, width), likewise; all partial sums stay below 2**24.

    Returns:
        Exact whole numbers of shape (rows, others).
    """
    torch = sys.modules.get("torch")
    if torch is None or left.size * len(right) < _WORTH or not matrix_unit():
        return left @ right.T
    with _setting:
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("medium")
        try:
            return torch.mm(torch.from_numpy(left), torch.from_numpy(right).T).numpy()
        finally:
            torch.set_float32_matmul_precision(before)


def prepare(rows: int) -> None:
    """Makes the matrix unit ready for a pool of so many images, where there is one; small pools are done before it would be."""
    if rows > _LARGE and matrix_unit():
        import torch  # noqa: F401 (`product` finds it)


@cache
def matrix_unit() -> bool:
    """Says whether the processor multiplies matrices of bfloat16 in a unit of its own."""
    try:
        return "amx_bf16" in Path("/proc/cpuinfo").read_text(encoding="utf-8")
    except OSError:
        return False
