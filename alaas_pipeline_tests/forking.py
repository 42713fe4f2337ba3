"""One server process that has imported all that is slow, and forks each child of a test in milliseconds.

There is one such server for each test process, whoever asks first, so it is told here what everybody needs.
"""

import multiprocessing
from collections.abc import Callable
from multiprocessing.context import ForkServerProcess
from typing import Any

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(["alaas_pipeline_tests.ledger.dying", "alaas_pipeline_tests.faults.lying_driven"])


def start(target: Callable[..., None], *args: Any) -> ForkServerProcess:
    """Begin a child that can be killed."""
    child = _context.Process(target=target, args=args, daemon=True)
    child.start()
    return child
