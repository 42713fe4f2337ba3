"""What all tests share."""

import os
from collections import Counter, defaultdict
from itertools import islice

import pytest

# Folders whose tests take long.
LONG = ("faults", "end_to_end")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let every process begin with some of the modules whose tests take long, so that none is left with them at the end.

    To begin with xdist gives each process as many tests, in order; what a process has not begun, others may take over.
    """
    processes = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    long = [item for item in items if item.path.parent.name in LONG]
    short = iter([item for item in items if item.path.parent.name not in LONG])
    modules = list(dict.fromkeys(item.path for item in long))
    ordered: list[pytest.Item] = []
    for number in range(processes):
        ordered += [item for item in long if modules.index(item.path) % processes == number]
        ordered += islice(short, max(0, len(items) * (number + 1) // processes - len(ordered)))
    items[:] = [*ordered, *short]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print what tests have recorded as `shown`, and the sums of what they `counted: ...`, from whatever process they ran in."""
    told = {
        str(value)
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, value in getattr(report, "user_properties", ())
        if name == "shown"
    }
    for line in sorted(told):
        terminalreporter.write_line(line)
    sums: dict[str, Counter[str]] = defaultdict(Counter)
    for reports in terminalreporter.stats.values():
        for report in reports:
            for name, value in getattr(report, "user_properties", ()):
                if name.startswith("counted: ") and getattr(report, "when", "") == "call":
                    sums[name.removeprefix("counted: ")].update(value)
    for name, counts in sorted(sums.items()):
        terminalreporter.write_line(f"{name}: " + ", ".join(f"{count} {what}" for what, count in counts.items()))
