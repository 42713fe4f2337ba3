"""HTML of the pages: everything that comes from outside is escaped here."""

import json
import re
import sqlite3
from collections.abc import Iterable, Sequence
from html import escape
from urllib.parse import urlencode

from alaas_pipeline.sandbox.state import iso

ROUND = re.compile(r"alaas-(?P<pool>.+)-(?P<number>r\d{4,})-[0-9a-f]{12}")
Row = sqlite3.Row


def page(title: str, body: str, script: str) -> str:
    """A whole document; ``script`` names a file beside this module."""
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">'
        f'<title>{escape(title)} - Avala sandbox</title><link rel="stylesheet" href="/_sandbox/page/page.css">'
        f'<script src="/_sandbox/page/{script}" defer></script></head><body>{body}</body></html>'
    )


def overview(answering: str, projects: str, datasets: str, exports: str) -> str:
    """The first page, made of its sections."""
    body = (
        '<main><header><h1>Avala sandbox</h1><p class="lead">A local stand-in for Avala: nothing here leaves this '
        f"machine, and nothing costs money. {escape(answering)}</p></header>"
        f"{_section('projects', 'Projects', projects)}{_section('datasets', 'Datasets', datasets)}"
        f"{_section('exports', 'Exports', exports)}</main>"
    )
    return page("Overview", body, "live.js")


def project_table(rows: Sequence[Row]) -> str:
    """Projects with their status, progress and what to do next."""
    if not rows:
        return '<p class="quiet">No project yet: the pipeline makes one when it pushes a round.</p>'
    lines = "".join(
        f'<tr><th scope="row"><a href="/_sandbox/projects/{escape(row["uid"])}">{escape(row["name"])}</a></th>'
        f"<td>{badge(row['status'])}</td><td>{progress(row)}</td><td>{_next_step(row)}</td></tr>"
        for row in rows
    )
    return _table("Projects", ("Project", "Status", "Answered", "What to do"), lines)


def dataset_cards(rows: Iterable[tuple[Row, Sequence[Row]]]) -> str:
    """Datasets, each with the first of its images."""
    cards = "".join(
        f'<article><h3><a href="/_sandbox/datasets/{escape(row["uid"])}">{escape(row["name"])}</a></h3>'
        f'<p class="quiet">{row["item_count"]:,} items, {row["size_bytes"] / 1000:,.0f} kB, {day(row["created_at"])}</p>'
        f'<p class="strip">{"".join(thumbnail(item) for item in items)}</p></article>'
        for row, items in rows
    )
    return cards or '<p class="quiet">No dataset yet.</p>'


def export_table(rows: Sequence[Row]) -> str:
    """Exports with a link to the file of those that are done."""
    if not rows:
        return '<p class="quiet">No export yet: the pipeline asks for one when a project is complete.</p>'
    lines = "".join(
        f'<tr><th scope="row">{escape(row["name"])}</th><td>{badge(row["status"])}</td>'
        f"<td>{_counted(row)}</td><td>{day(row['created_at'])}</td><td>{_file(row)}</td></tr>"
        for row in rows
    )
    return _table("Exports", ("Export", "Status", "Answered", "Asked for", "File"), lines)


def dataset_page(dataset: Row, items: Sequence[Row], pages: str) -> str:
    """One dataset and a page of its images."""
    cards = "".join(
        f'<figure>{thumbnail(item)}<figcaption title="{escape(item["key"])}">{escape(item["key"])}</figcaption></figure>'
        for item in items
    )
    kind = f"Dataset, {dataset['item_count']:,} items"
    body = f'<main>{_head(dataset["name"], kind)}<div class="grid">{cards}</div>{pages}</main>'
    return page(dataset["name"], body, "live.js")


def project_page(project: Row, tasks: Sequence[Row], show: str, pages: str) -> str:
    """One project and a page of its tasks."""
    links = " ".join(
        f'<a href="?{urlencode({"show": name})}"{" aria-current=true" if name == show else ""}>{name}</a>'
        for name in ("all", "pending", "labelled", "refused")
    )
    cards = "".join(
        f'<figure>{thumbnail(task)}<figcaption title="{escape(task["key"])}"><b>{answer_of(task)}</b> '
        f"{escape(task['key'])}</figcaption></figure>"
        for task in tasks
    )
    body = (
        f"<main>{_head(project['name'], 'Project')}"
        f'<section id="state" data-live><p>{badge(project["status"])} {progress(project)}</p>'
        f"<p>{_next_step(project)}</p></section>"
        f'<nav class="tabs" aria-label="Tasks">{links}</nav><div class="grid">{cards}</div>{pages}</main>'
    )
    return page(project["name"], body, "live.js")


def label_page(project: Row, labels: Sequence[str], fixed: bool) -> str:
    """The view in which a person labels; its script fills it."""
    hint = (
        f'<p class="banner" id="closed">{_next_step(project)} Status: {badge(project["status"])}</p>'
        if project["status"] != "active"
        else ""
    )
    adding = (
        ""
        if fixed
        else '<form id="adding"><label for="name">New label (N)</label>'
        '<span class="row"><input id="name" maxlength="200" autocomplete="off" required><button>Add</button></span></form>'
    )
    uid = escape(project["uid"])
    body = (
        f'<main class="desk" id="desk" data-project="{uid}" data-status="{escape(project["status"])}" '
        f'data-labels="{escape(json.dumps(labels))}"><header class="bar"><a href="/_sandbox/projects/{uid}">Back</a>'
        f"<h1>{escape(project['name'])}</h1><progress id='done' value='0' max='1' aria-label='Answered'></progress>"
        f'<span id="count"></span></header>{hint}<noscript><p class="banner">Labelling needs JavaScript.</p></noscript>'
        '<div class="work"><div class="stage" id="stage"><div class="sheet waiting" id="sheet"><img id="image" alt="">'
        '<svg id="boxes" preserveAspectRatio="none" aria-hidden="true"></svg></div></div><aside>'
        '<p id="said" role="status" aria-live="polite"></p><div id="labels" role="group" aria-label="Labels"></div>'
        f'{adding}<div class="row"><button id="refuse">Refuse <kbd>R</kbd></button>'
        '<button id="boxing" aria-pressed="false">Boxes <kbd>B</kbd></button>'
        '<button id="send" hidden>Send boxes <kbd>Enter</kbd></button></div>'
        '<form id="refusing" hidden><label for="reason">Why can it not be labelled?</label><span class="row">'
        '<input id="reason" maxlength="200" value="image unusable" required><button>Refuse</button></span></form>'
        '<div class="row"><button id="back" aria-label="Previous image">&larr;</button>'
        '<button id="next" aria-label="Next image">&rarr;</button><span id="place"></span></div>'
        '<p class="quiet" id="key"></p><p class="quiet">Press a label\'s key to answer and go on. <kbd>&larr;</kbd> '
        "<kbd>&rarr;</kbd> look around, also at what is answered: until the last image is done, your own answers can "
        "be given again. With <kbd>B</kbd>, keys choose a label, dragging draws its box, <kbd>Backspace</kbd> takes "
        "the last one away and <kbd>Enter</kbd> sends them.</p></aside></div></main>"
    )
    return page(f"Label {project['name']}", body, "label.js")


def missing() -> str:
    """What a link to something deleted shows."""
    return page("Not found", f"<main>{_head('Not found', 'It may have been deleted.')}</main>", "live.js")


def thumbnail(row: Row) -> str:
    """A small picture of an item, fetched when it comes into view."""
    return (
        f'<img loading="lazy" decoding="async" width="160" height="120" alt="{escape(row["key"])}" '
        f'src="/_sandbox/items/{escape(row["item_uid"])}/thumbnail">'
    )


def progress(row: Row) -> str:
    """How much of a project is answered, as a bar and in words."""
    if not row["total"]:
        return '<span class="quiet">no tasks yet</span>'
    refused = f", {row['refused']} refused" if row["refused"] else ""
    return (
        f'<progress value="{row["completed"]}" max="{row["total"]}" aria-label="Answered"></progress> '
        f"{row['completed']} of {row['total']}{refused}"
    )


def answer_of(task: Row) -> str:
    """What was said about a task's image."""
    if task["result"] == "refused":
        return f"refused: {escape(task['refusal_reason'] or '')}"
    said = [task["label"]] if task["label"] is not None else []
    if task["boxes"]:
        said.append(f"{task['boxes']} {'box' if task['boxes'] == 1 else 'boxes'}")
    return escape(", ".join(said)) or "pending"


def badge(status: str) -> str:
    """A status as a coloured word."""
    return f'<span class="badge {escape(status)}">{escape(status)}</span>'


def day(moment: float) -> str:
    """A moment to the minute, UTC."""
    return iso(moment)[:16].replace("T", " ") + " UTC"


def pager(param: str, number: int, pages: int) -> str:
    """Links to the pages before and after; nothing where there is one page. ``param`` ends with ``=``."""
    if pages < 2:
        return ""
    before = f'<a rel="prev" href="?{escape(param)}{number - 1}">Previous</a>' if number > 1 else ""
    after = f'<a rel="next" href="?{escape(param)}{number + 1}">Next</a>' if number < pages else ""
    return f'<nav class="tabs" aria-label="Pages">{before} <span>Page {number} of {pages}</span> {after}</nav>'


def _next_step(project: Row) -> str:
    status = project["status"]
    if status == "pending-approval":
        found = ROUND.fullmatch(project["name"])
        key = f"{found['pool']}.{found['number']}" if found else "ROUND"
        return (
            "Waits for approval. Type <code>alaas-pipeline status</code> to see the quote, then "
            f"<code>alaas-pipeline approve {escape(key)} --quote DIGEST</code>"
        )
    if status == "active" and project["completed"] < project["total"]:
        left = project["total"] - project["completed"]
        return f'<a class="button" href="/_sandbox/projects/{escape(project["uid"])}/label">Label {left:,} images</a>'
    told = {
        "active": "Being answered.",
        "completed": "Complete: the pipeline collects the labels on its next look.",
        "paused": "Paused: the pipeline resumes it.",
        "canceled": "Canceled for good.",
    }
    return told.get(status, "")


def _counted(row: Row) -> str:
    return "" if row["total_task_count"] is None else f"{row['exported_task_count']} of {row['total_task_count']}"


def _file(row: Row) -> str:
    return "" if row["digest"] is None else f'<a href="/_sandbox/exports/{escape(row["uid"])}/file">Download</a>'


def _head(title: str, kind: str) -> str:
    return f'<header><p class="quiet"><a href="/_sandbox/">Sandbox</a> / {escape(kind)}</p><h1>{escape(title)}</h1></header>'


def _section(name: str, title: str, content: str) -> str:
    return f'<section><h2>{title}</h2><div id="{name}" data-live>{content}</div></section>'


def _table(caption: str, headers: Sequence[str], lines: str) -> str:
    cells = "".join(f'<th scope="col">{header}</th>' for header in headers)
    return f'<div class="scroll"><table aria-label="{caption}"><thead><tr>{cells}</tr></thead><tbody>{lines}</tbody></table></div>'
