"""The page and the picture."""

from pathlib import Path

from benchmarks.label_efficiency import tables
from benchmarks.label_efficiency.methods import OURS, RANDOM
from benchmarks.label_efficiency.run import MODES
from benchmarks.label_efficiency.tables import Cell

SCORES = {"nn": "1-NN", "probe": "probe"}


def page(cells: list[Cell], peers: list[str], missing: dict[str, str], about: str) -> str:
    """Writes the page in markdown.

    Args:
        cells: All cells.
        peers: The methods that ours is compared with.
        missing: Sets that could not be had, and why.
        about: How it was run.
    """
    out = ["# Accuracy for so many labels", "", about, ""]
    for mode in MODES:
        some = tables.only(cells, mode=mode)
        out += [
            f"## Labels picked {mode}",
            "",
            "Accuracy in per cent, mean over splits and budgets ± standard error: 1-NN / linear probe.",
            "",
        ]
        out += _means(some, "nn", "probe")
        out += [
            "",
            "The same as the mean over classes, whatever their size:",
            "",
            *_means(some, "nn_macro", "probe_macro"),
            "",
        ]
        out += _paired_tables(some, peers)
        out += [
            "",
            "Labels needed for what random picks reach with the most labels: 1-NN / linear probe.",
            "",
            *_savings(some),
        ]
        timed = "the whole selection" if mode == MODES[0] else "the last round"
        out += [
            "",
            f"What the picks are like, mean over sets, splits and budgets; seconds of {timed}, with one thread.",
            "",
        ]
        out += [*_traits(some), ""]
    for method, told in tables.errors(cells).items():
        out.append(f"- **{method} failed**: {'; '.join(told)}.")
    out += [f"- **{name} is missing**: {why}" for name, why in missing.items()]
    return "\n".join(out).rstrip() + "\n"


def _row(words: list[str]) -> str:
    return f"| {' | '.join(words)} |"


def _head(words: list[str]) -> list[str]:
    return [_row(words), _row(["---", *["--:"] * (len(words) - 1)])]


def _means(cells: list[Cell], first: str, second: str) -> list[str]:
    sets = tables.names(cells, "set")
    rows = []
    for method in tables.names(cells, "method"):
        own = tables.only(cells, method=method)
        groups = [tables.only(own, set=one) for one in sets] + [own]
        told = [[tables.mean(group, score) for score in (first, second)] for group in groups]
        words = [" / ".join("failed" if one is None else one.text() for one in pair) for pair in told]
        overall = told[-1][1]
        rows.append((-1.0 if overall is None else overall.mean, _row([method, *words])))
    return _head(["", *sets, "mean"]) + [row for _, row in sorted(rows, key=lambda row: -row[0])]


def _paired_tables(cells: list[Cell], peers: list[str]) -> list[str]:
    sets = tables.names(cells, "set")
    mine = [method for method in tables.names(cells, "method") if method not in (*peers, RANDOM)]
    out = []
    for score, word in SCORES.items():
        rival = tables.best(cells, peers, score)
        rivals = [] if rival is None else [(rival, f"the best peer on the mean, {rival}")]
        if len(mine) > 1:
            rivals.append((OURS, OURS))
        for other, words in rivals:
            out += [
                f"Paired difference to {words}, in points of {word} accuracy (cells won):",
                "",
                *_head(["", *sets, "mean"]),
            ]
            for method in mine:
                if method != other:
                    groups = [tables.only(cells, set=one) for one in sets] + [cells]
                    pairs = [tables.paired(group, method, other, score) for group in groups]
                    out.append(_row([method, *("failed" if pair is None else pair.text() for pair in pairs)]))
            out.append("")
    return out[:-1]


def _savings(cells: list[Cell]) -> list[str]:
    sets = tables.names(cells, "set")
    out = _head(["", *sets])
    for method in tables.names(cells, "method"):
        words = []
        for one in sets:
            own, drawn = tables.only(cells, set=one, method=method), tables.only(cells, set=one, method=RANDOM)
            words.append(" / ".join(_saving(own, drawn, score) for score in SCORES))
        out.append(_row([method, *words]))
    return out


def _saving(own: list[Cell], drawn: list[Cell], score: str) -> str:
    if not tables.whole(own) or not tables.whole(drawn):
        return "failed"
    points, goal = tables.curve(own, score), tables.curve(drawn, score)
    reached = tables.labels_to_reach(points, goal[max(goal)])
    return f"> {max(points)}" if reached is None else f"≤ {reached:.0f}" if reached == min(points) else f"{reached:.0f}"


def _traits(cells: list[Cell]) -> list[str]:
    out = _head(["", "classes found, %", "coverage", "radius", "seconds"])
    last = max(tables.names(cells, "budget"))
    for method in tables.names(cells, "method"):
        own = tables.only(cells, method=method)
        shown = [tables.mean(own, score) for score in ("classes", "coverage", "radius")]
        shown.append(tables.mean(tables.only(own, budget=last), "seconds"))
        forms = ((100, 1), (1, 3), (1, 3), (1, 2))
        words = ["failed" if one is None else one.text(*form) for one, form in zip(shown, forms, strict=True)]
        out.append(_row([method, *words]))
    return out


def plot(cells: list[Cell], peers: list[str], path: Path) -> None:
    """Draws accuracy over labels picked in rounds, one panel a set and learner: ours, random, the best peer in colour, the other peers in grey."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    some = tables.only(cells, mode=MODES[1])
    sets, methods = tables.names(some, "set"), tables.names(some, "method")
    figure = Figure(figsize=(3.2 * len(sets) + 0.6, 6.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(SCORES), len(sets), squeeze=False, sharex=True)
    for row, (score, word) in zip(axes, SCORES.items(), strict=True):
        rival = tables.best(some, peers, score)
        looks = {RANDOM: ("#7f7f7f", ":", 2.0), rival: ("#d95f02", "-", 2.0), OURS: ("#1b6ca8", "-", 2.4)}
        for place, (axis, one) in enumerate(zip(row, sets, strict=True)):
            for method in sorted(methods, key=lambda name: [*looks].index(name) if name in looks else -1):
                own = tables.only(some, set=one, method=method)
                if tables.whole(own):
                    points = tables.curve(own, score)
                    colour, line, width = looks.get(method, ("#cccccc", "-", 0.9))
                    label = f"{method} (best peer)" if method == rival else method if method in looks else None
                    axis.plot(
                        list(points),
                        [100 * value for value in points.values()],
                        line,
                        color=colour,
                        lw=width,
                        label=label,
                    )
            axis.set_xscale("log")
            axis.set_xticks(budgets := sorted(tables.names(some, "budget")), [str(budget) for budget in budgets])
            axis.minorticks_off()
            axis.grid(alpha=0.3)
            if score == "nn":
                axis.set_title(one)
            else:
                axis.set_xlabel("labels")
            if place == 0:
                axis.set_ylabel(f"{word} accuracy, %")
                axis.legend(loc="lower right", fontsize="small")
    figure.savefig(path, dpi=120)
