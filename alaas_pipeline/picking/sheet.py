"""The picks of a folder on one page that needs nothing else: every picture with its place, its reason and its nearest earlier pick."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources

from alaas_pipeline.engine.picks import Pick, Selection
from alaas_pipeline.report.html import whole_page
from alaas_pipeline.report.tables import one_line, show

_STYLE = """
.picks { display: grid; grid-template-columns: repeat(auto-fill, minmax(14rem, 1fr)); gap: 1rem; margin: 0; padding: 0; list-style: none; }
.picks li { padding: .8rem; border: 1px solid var(--line); border-radius: 8px; background: var(--card); overflow-wrap: anywhere; }
.picks li:target { outline: 3px solid var(--accent); }
.picks img { display: block; width: 100%; height: 11rem; object-fit: contain; }
.picks p { margin: .4rem 0 0; font-size: .9rem; }
.picks .place { color: var(--quiet); }
a { color: var(--accent); }
"""


@dataclass(frozen=True)
class Sheet:
    """What the page tells.

    Attributes:
        folder: the folder's name.
        strategy: how the images were picked.
        encoder_id: what made the vectors.
        images: different images in the folder.
        selection: the picks, by path.
        thumbnails: small JPEGs by path; a pick without one is shown without picture.
        bad: files that cannot be used, with the reason.
    """

    folder: str
    strategy: str
    encoder_id: str
    images: int
    selection: Selection
    thumbnails: Mapping[str, bytes]
    bad: Mapping[str, str]


def pick_sheet(sheet: Sheet) -> str:
    """Return the page; every text in it is escaped, and it loads nothing."""
    style = resources.files("alaas_pipeline.report").joinpath("report.css").read_text(encoding="utf-8")
    picks = [*sheet.selection.representatives, *sheet.selection.outliers]
    metrics = sheet.selection.metrics
    figures = [
        ("Images in the folder", show(sheet.images)),
        ("Picked", show(len(picks))),
        ("Coverage", f"{metrics['coverage_after']:.3f}"),
        ("Coverage of a random draw", f"{metrics['coverage_random']:.3f}"),
    ]
    cards = "".join(f"<div><dt>{_text(name)}</dt><dd>{value}</dd></div>" for name, value in figures)
    lead = f"{len(picks):,} of {sheet.images:,} images, picked by {sheet.strategy} with {sheet.encoder_id}."
    body = [
        f'<header><p class="kicker">Images worth labelling</p><h1>{_text(sheet.folder)}</h1>',
        f'<p class="lead">{_text(lead)}</p></header>',
        f'<dl class="figures">{cards}</dl>',
        *_cards(sheet, picks),
        *_bad(sheet.bad),
        "<footer>Made by alaas-pipeline. This file holds everything it shows and loads nothing.</footer>",
    ]
    return whole_page(f"{_text(sheet.folder)} - picks", f"{style}{_STYLE}", body)


def _cards(sheet: Sheet, picks: Sequence[Pick]) -> list[str]:
    place = {pick.id: number for number, pick in enumerate(picks, start=1)}
    out = ['<section><h2>In the order of picking</h2><ol class="picks">']
    for number, pick in enumerate(picks, start=1):
        small = sheet.thumbnails.get(pick.id)
        name = _text(pick.id)
        picture = f'<img alt="{name}" src="data:image/jpeg;base64,{base64.b64encode(small).decode()}">' if small else ""
        near = ""
        if pick.nearest is not None:
            other = place[pick.nearest]
            near = f'<p class="place">That is <a href="#pick{other}">{other}. {_text(pick.nearest)}</a>.</p>'
        out.append(
            f'<li id="pick{number}">{picture}<p><strong>{number}. {name}</strong></p>'
            f'<p class="place">{_text(pick.kind)}</p><p>{_text(pick.reason)}</p>{near}</li>'
        )
    return [*out, "</ol></section>"]


def _bad(bad: Mapping[str, str]) -> list[str]:
    if not bad:
        return []
    items = "".join(f"<li>{_text(path)}: {_text(reason)}</li>" for path, reason in bad.items())
    return [f'<section class="warnings"><h2>Files that could not be used</h2><ul>{items}</ul></section>']


def _text(text: str) -> str:
    return escape(one_line(text))
