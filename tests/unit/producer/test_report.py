"""The page stands alone, is well formed, and cannot be made to run anything."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser

from lockstep.producer.cli.report import page
from lockstep.worker.operation.model import HostName, Millis, Step
from tests.unit.producer.samples import OPERATION
from tests.unit.producer.stories import ROLLED_BACK, START, STEPS

VOID = {"meta"}


class Elements(HTMLParser):
    """Collects what a page is made of; fails on a tag that is closed out of turn."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.text = ""
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_the_page_stands_alone() -> None:
    text = page(ROLLED_BACK, STEPS, Millis(START))
    elements = Elements(text)
    assert not elements.tags & {"script", "link", "img", "iframe", "object", "use", "image"}
    assert not elements.attributes & {"src", "href", "style", "onload", "onclick"}
    assert not re.search(r"https?:|@import|url\((?!#)", text)


def test_what_people_and_hosts_wrote_stays_text() -> None:
    elements = Elements(page(ROLLED_BACK, STEPS, Millis(START)))
    assert elements.text.count('<script>alert("x")</script>') == 2

    mean = Step(HostName('"><svg onload=x>'), reason="\x1b[2J")
    elements = Elements(page(replace(OPERATION, created_by="<b>"), [mean], Millis(START)))
    assert "onload" not in elements.attributes
    assert "\\x1b[2J" in elements.text


def test_the_page_tells_what_came_of_each_host() -> None:
    text = Elements(page(ROLLED_BACK, STEPS, Millis(START))).text
    for step in STEPS:
        assert step.host in text
    for said in ("answer lost: read timeout", "not sent: connection refused", "bob: scrapped", "29 s"):
        assert said in text
    table = text.partition("What happened")[2].partition("What came back")[0]
    for story in (
        "changed by its write before the decision, undone: DELETE answered 200",
        "not changed: it was present before",
        "changed by write 2 of 2, before or after the decision is not known (answer lost: read timeout; ",
        "not changed: its write had no effect (403)",
        "not changed: nothing was sent",
        "changed by its write before the decision, given up before it was undone",
    ):
        assert story in table
    assert "so far" not in text


def test_an_operation_under_way_is_drawn_until_now() -> None:
    text = Elements(page(OPERATION, (), Millis(START + 90_000))).text
    assert "1 min 30 s so far" in text


def test_the_page_says_of_what_is_rolled_back_whether_it_settles() -> None:
    for settling, state in ((True, "rolled back, settling"), (False, "rolled back")):
        operation = replace(ROLLED_BACK, settling=settling)
        assert f">{state}</" in page(operation, STEPS, Millis(START))
