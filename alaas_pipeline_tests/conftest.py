"""What all tests share."""

from collections import Counter, defaultdict

import pytest

# Folders whose tests take long. They are begun first, so that no process is left with one of them at the end.
LONG = ("faults", "end_to_end")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put tests that take long first; within their folders tests keep their order."""
    items.sort(key=lambda item: LONG.index(item.path.parent.name) if item.path.parent.name in LONG else len(LONG))


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
