import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from alaas_pipeline.engine.allowance import Allowance


def test_threads_never_hold_more_than_there_is_and_all_come_to_an_end() -> None:
    allowance, lock, held, most = Allowance(10), threading.Lock(), [0], [0]

    def work(part: int) -> None:
        with allowance.take(part):
            with lock:
                held[0] += part
                most[0] = max(most[0], held[0])
            time.sleep(0.001)
            with lock:
                held[0] -= part

    with ThreadPoolExecutor(6) as threads:
        list(threads.map(work, [3, 7, 5, 10, 1, 6] * 8))
    assert (held[0], most[0]) == (0, 10)


def test_a_larger_wish_is_let_through_alone_and_a_failure_gives_back() -> None:
    allowance = Allowance(10)
    with pytest.raises(KeyError), allowance.take(25):
        raise KeyError
    with allowance.take(10):
        pass
