"""The report on a pool: one HTML file that needs nothing else, made to be passed on.

No script, no font and no picture comes from elsewhere (a content security policy in the page forbids it too),
so the file can be mailed, kept and opened without a network. Colours follow the reader's own light or dark.
"""

import base64
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from html import escape
from importlib import resources
from itertools import groupby

from alaas_pipeline.report.tables import class_rows, is_number, one_line, show

SIMULATED = "Labels come from simulated annotators"

_ROUND_HEADERS = (
    *("round", "state", "picked", "uploaded", "labelled", "refused", "pending"),
    *("credits", "money", "classes so far", "random draw"),
)


@dataclass(frozen=True)
class RoundLine:
    """One round of the report.

    Attributes:
        key: the round's key, such as `cats.r0001`.
        state: its state in words.
        picked: images picked; `uploaded`, `labelled`, `refused` and `pending` say what became of them.
        credits: credits spent on selection.
        money: what labelling cost, written with its currency.
        classes: different classes found so far, None where not known.
        random_classes: classes expected of a random draw of as many images, None where not known.
    """

    key: str
    state: str
    picked: int
    uploaded: int = 0
    labelled: int = 0
    refused: int = 0
    pending: int = 0
    credits: int = 0
    money: str = ""
    classes: int | None = None
    random_classes: float | None = None


@dataclass(frozen=True)
class PickLine:
    """One picked image: the round's key, its place in the pick order, and why it was picked.

    `thumbnail` is a small JPEG, or empty; `label` is empty until the image is labelled.
    """

    round: str
    rank: int
    image: str
    kind: str
    reason: str
    label: str = ""
    thumbnail: bytes = b""


@dataclass(frozen=True)
class Credits:
    """The pool's credits: granted, held back for work under way, spent, and what is left to use."""

    granted: int
    reserved: int
    spent: int
    balance: int


@dataclass(frozen=True)
class PoolReport:
    """All that the report tells.

    Attributes:
        pool: the pool's name.
        images: distinct, usable images in the pool.
        rounds: in their order.
        class_counts: labels so far, by class.
        credits: the pool's credits.
        money: what was spent and what is promised, as (what, amount with currency).
        curve: the learning curve as a PNG, or empty.
        sheets: contact sheets as (title, JPEG), in their order.
        picks: in the order of rounds and picks.
        warnings: sentences that a reader must not miss.
        simulated: whether any label was made up by the sandbox.
        made_at: when the report was made, with its time zone.
    """

    pool: str
    images: int
    rounds: Sequence[RoundLine]
    class_counts: Mapping[str, int]
    credits: Credits
    money: Sequence[tuple[str, str]] = ()
    curve: bytes = b""
    sheets: Sequence[tuple[str, bytes]] = ()
    picks: Sequence[PickLine] = ()
    warnings: Sequence[str] = ()
    simulated: bool = False
    made_at: datetime = field(default_factory=lambda: datetime.now(UTC))


def pool_report(report: PoolReport) -> str:
    """Return the report as one self-contained HTML page; every text in it is escaped."""
    style = resources.files("alaas_pipeline.report").joinpath("report.css").read_text(encoding="utf-8")
    name = _text(report.pool)
    body = [
        f'<header><p class="kicker">Label loop report</p><h1>{name}</h1>',
        f'<p class="lead">{_text(_headline(report))}</p></header>',
        *_banners(report),
        _figures(report),
        *_curve(report),
        *_rounds(report),
        *_classes(report),
        *_sheets(report),
        *_picks(report),
        f"<footer>Made on {report.made_at:%-d %B %Y at %H:%M %Z} by alaas-pipeline. ",
        "This file holds everything it shows and loads nothing.</footer>",
    ]
    return whole_page(f"{name} - label loop report", style, body)


def whole_page(title: str, style: str, body: Sequence[str]) -> str:
    """Return a page that loads nothing.

    Args:
        title: escaped.
        style: CSS.
        body: HTML, its texts escaped.
    """
    return "\n".join(
        [
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">',
            '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
            "img-src data:; style-src 'unsafe-inline'\">",
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light dark">',
            f"<title>{title}</title>",
            f"<style>\n{style}</style>\n</head>\n<body>\n<main>",
            *body,
            "</main>\n</body>\n</html>\n",
        ]
    )


def _headline(report: PoolReport) -> str:
    labelled = sum(line.labelled for line in report.rounds)
    number = len(report.rounds)
    text = f"{labelled:,} of {report.images:,} images labelled in {number} {_plural('round', number)}."
    last = next((line for line in reversed(report.rounds) if line.classes is not None), None)
    if last is None:
        return text
    text += f" {last.classes:,} {_plural('class', last.classes or 0)} found by the end of {last.key}"
    if last.random_classes is None:
        return f"{text}."
    return f"{text}; a random draw of as many images would be expected to find {last.random_classes:.1f}."


def _banners(report: PoolReport) -> Iterable[str]:
    if report.simulated:
        yield (
            f'<p class="banner" role="note"><strong>{SIMULATED}.</strong> '
            "No person has looked at these images. The figures show how the loop works; "
            "do not use the labels as real ones.</p>"
        )
    if report.warnings:
        items = "".join(f"<li>{_text(warning)}</li>" for warning in report.warnings)
        yield f'<section class="warnings"><h2>Please note</h2><ul>{items}</ul></section>'


def _figures(report: PoolReport) -> str:
    credits = report.credits
    figures = [
        ("Images in the pool", show(report.images)),
        ("Labelled", show(sum(line.labelled for line in report.rounds))),
        ("Waiting for a label", show(sum(line.pending for line in report.rounds))),
        ("Classes found", show(len(report.class_counts))),
        ("Credits spent", f"{credits.spent:,} of {credits.granted:,}"),
        *([("Credits held back", show(credits.reserved))] if credits.reserved else []),
        ("Credits left", show(credits.balance)),
        *report.money,
    ]
    cards = "".join(f"<div><dt>{_text(name)}</dt><dd>{_text(value)}</dd></div>" for name, value in figures)
    return f'<dl class="figures">{cards}</dl>'


def _curve(report: PoolReport) -> Iterable[str]:
    if report.curve:
        alt = f"Learning curve over the rounds. {_headline(report)}"
        yield f'<section><h2>Learning curve</h2><figure class="paper">{_image(report.curve, alt, "png")}'
        yield "</figure></section>"


def _rounds(report: PoolReport) -> Iterable[str]:
    yield "<section><h2>Rounds</h2>"
    if not report.rounds:
        yield "<p>No round has been opened yet.</p></section>"
        return
    rows = [
        (
            *(line.key, line.state, line.picked, line.uploaded, line.labelled, line.refused, line.pending),
            *(line.credits, line.money, line.classes),
            None if line.random_classes is None else f"{line.random_classes:.1f}",
        )
        for line in report.rounds
    ]
    # A column that nobody filled says nothing.
    keep = [n for n in range(len(_ROUND_HEADERS)) if any(row[n] not in (None, "") for row in rows)]
    headers = [_ROUND_HEADERS[n] for n in keep]
    yield _table("Rounds", headers, [[_text(show(row[n])) for n in keep] for row in rows])
    yield "</section>"


def _classes(report: PoolReport) -> Iterable[str]:
    if report.class_counts:
        most = max(1, *report.class_counts.values())
        rows = []
        for label, count, share in class_rows(report.class_counts):
            bar = f'<span class="bar" style="width:{100 * count / most:.1f}%"></span>'
            rows.append([_text(label), show(count), share, bar])
        yield "<section><h2>Classes</h2>"
        yield _table("Labels so far by class", ["label", "images", "share", ""], rows)
        yield "</section>"


def _sheets(report: PoolReport) -> Iterable[str]:
    if report.sheets:
        yield "<section><h2>Picked images</h2>"
        for title, data in report.sheets:
            image = _image(data, f"Contact sheet: {title}", "jpeg")
            yield f'<figure class="paper"><figcaption>{_text(title)}</figcaption>{image}</figure>'
        yield "</section>"


def _picks(report: PoolReport) -> Iterable[str]:
    if report.picks:
        yield "<section><h2>Why these images</h2>"
        for key, lines in groupby(report.picks, key=lambda line: line.round):
            picks = list(lines)
            pictures = any(line.thumbnail for line in picks)
            headers = ["rank", *(["picture"] if pictures else []), "image", "kind", "reason", "label"]
            rows = [
                [
                    show(line.rank),
                    *([_image(line.thumbnail, "", "jpeg") if line.thumbnail else ""] if pictures else []),
                    *map(_text, (line.image, line.kind, line.reason, line.label)),
                ]
                for line in picks
            ]
            summary = f"{_text(key)}: {len(picks):,} {_plural('image', len(picks))}"
            yield f"<details><summary>{summary}</summary>{_table(f'Picks of {key}', headers, rows)}</details>"
        yield "</section>"


def _table(caption: str, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table of cells that are HTML already."""
    columns = list(zip(*rows, strict=True))
    right = [any(column) and all(not cell or is_number(cell) for cell in column) for column in columns]
    classes = [' class="n"' if number else "" for number in right]
    head = "".join(
        f'<th scope="col"{cls}>{_text(name)}</th>' if name else "<td></td>"
        for name, cls in zip(headers, classes, strict=True)
    )
    body = "".join(
        "<tr>" + "".join(f"<td{cls}>{cell}</td>" for cell, cls in zip(row, classes, strict=True)) + "</tr>\n"
        for row in rows
    )
    label = _text(caption)
    return (
        f'<div class="scroll" role="region" aria-label="{label}" tabindex="0">'
        f"<table><caption>{label}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table></div>"
    )


def _image(data: bytes, alt: str, kind: str) -> str:
    return f'<img alt="{_text(alt)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'


def _text(text: str) -> str:
    return escape(one_line(text))


def _plural(noun: str, number: int) -> str:
    return noun if number == 1 else f"{noun}es" if noun.endswith("s") else f"{noun}s"
