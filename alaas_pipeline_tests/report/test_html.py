import base64
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

from alaas_pipeline.report.html import SIMULATED, Credits, PickLine, PoolReport, RoundLine, pool_report

EVIL = "<script>alert('x')</script> & \"quoted\"\x00"
SHOWN = "<script>alert('x')</script> & \"quoted\""

FULL = PoolReport(
    pool=EVIL,
    images=2624,
    rounds=[
        RoundLine("cats.r0001", "landed", 40, 40, 39, 1, 0, 1010, "2.40 USD", 5, 4.04),
        RoundLine("cats.r0002", EVIL, 40, 40, 12, 0, 28, 1010, "2.40 USD"),
    ],
    class_counts={EVIL: 30, "dog": 10},
    credits=Credits(20_000, 1_010, 17_160, 1_830),
    money=[(EVIL, "7.20 USD")],
    curve=b"curve",
    sheets=[(EVIL, b"sheet")],
    picks=[
        PickLine("cats.r0001", 1, EVIL, "representative", EVIL, EVIL, b"thumb"),
        PickLine("cats.r0002", 1, "b.jpg", "outlier", "Far from all others."),
    ],
    warnings=[EVIL],
    simulated=True,
    made_at=datetime(2026, 11, 3, 9, 5, tzinfo=UTC),
)
EMPTY = PoolReport("cats", 0, [], {}, Credits(10_000, 0, 0, 10_000))


class Page(HTMLParser):
    """The page as a reader's program sees it; tags that do not close, or close wrongly, fail."""

    VOID = frozenset({"meta", "img"})

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip():
            self.texts.append((self.open[-1] if self.open else "", data.strip()))

    def text(self) -> str:
        return " ".join(text for tag, text in self.texts if tag != "style")

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


def test_every_text_is_escaped_and_arrives_whole() -> None:
    page = Page(pool_report(FULL))
    assert not page.all("script")
    # Pool name, state, class, money, sheet title, image, reason, label, warning; the title has more words.
    assert sum(text == SHOWN for _, text in page.texts) == 9
    assert (page.texts[0][0], page.texts[0][1]) == ("title", f"{SHOWN} - label loop report")


def test_the_file_loads_nothing_from_elsewhere() -> None:
    html = pool_report(FULL)
    page = Page(html)
    sources = [image["src"] or "" for image in page.all("img")]
    assert [base64.b64decode(source.partition(",")[2]) for source in sources] == [
        b"curve",
        b"sheet",
        b"thumb",
    ]
    assert all(source.startswith("data:image/") for source in sources)
    assert not page.all("link")
    assert "http://" not in html
    assert "https://" not in html
    assert "url(" not in html
    policy = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]


def test_simulated_labels_are_said_before_any_figure_and_only_then() -> None:
    html = pool_report(FULL)
    assert html.index(SIMULATED) < html.index("<dl")
    assert SIMULATED not in pool_report(replace(FULL, simulated=False))


def test_headline_and_figures() -> None:
    text = Page(pool_report(FULL)).text()
    assert "51 of 2,624 images labelled in 2 rounds." in text
    assert "5 classes found by the end of cats.r0001; a random draw of as many images would be" in text
    assert "expected to find 4.0." in text
    assert "Credits spent 17,160 of 20,000 Credits held back 1,010 Credits left 1,830" in text
    assert "Made on 3 November 2026 at 09:05 UTC" in text


def test_accessible_structure() -> None:
    page = Page(pool_report(FULL))
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("h1")) == 1
    assert all("alt" in image for image in page.all("img"))
    assert all(heading.get("scope") == "col" for heading in page.all("th"))
    assert len(page.all("caption")) == len(page.all("table")) == 4
    scrolling = [part for part in page.all("div") if part.get("role") == "region"]
    assert all(part.get("tabindex") == "0" and part.get("aria-label") for part in scrolling)


def test_columns_nobody_filled_are_left_out() -> None:
    plain = [replace(line, money="", classes=None, random_classes=None) for line in FULL.rounds]
    text = Page(pool_report(replace(FULL, rounds=plain))).text()
    assert "classes so far" not in text
    assert "random draw" not in text
    assert "classes so far" in Page(pool_report(FULL)).text()


def test_a_pool_without_rounds_makes_a_report_too() -> None:
    page = Page(pool_report(EMPTY))
    text = page.text()
    assert "0 of 0 images labelled in 0 rounds." in text
    assert "No round has been opened yet." in text
    assert "Credits held back" not in text
    assert not page.all("img")
    assert not page.all("table")
