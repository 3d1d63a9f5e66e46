"""Tests of comparing quality reports and of their HTML page."""

from html.parser import HTMLParser
from typing import Any

import pytest

from aiplatform.data.reports import WORDS, Subject, compare_reports, render_report

NASTY = "<script>alert('x')</script>\"'&<img src=http://evil.test/x onerror=y>"


def finding(code: str, share: float, severity: str = "warning", **more: Any) -> dict[str, Any]:
    return {
        "code": code, "column": None, "severity": severity, "count": int(share * 100),
        "share": share, "message": f"{code} {NASTY}", "message_zh": f"{code} 中文 {NASTY}",
        "effect": NASTY, "effect_zh": NASTY, "fixes": ["drop"],
        "examples": [{"row": 3, "text": NASTY}], **more,
    }  # fmt: skip


REPORT: dict[str, Any] = {
    "version": 3, "rows": 100, "shape": NASTY, "score": 61,
    "score_formula": "100 × …", "score_formula_zh": "100 × …",
    "findings": [
        finding("no_answer", 0.1, "error"), finding("near_duplicates", 0.2, groups=[[1, 2]]),
    ],
    "languages": {"rows": 90, "shares": {"en": 0.9, NASTY: 0.1}},
    "labels": [{"label": NASTY, "rows": 60}],
    "tokens": {
        "p50": 20, "p95": 70, "max": 90, "max_length": 64, "over_length": 6,
        "histogram": {"width": 10, "counts": [1, 5, 2]},
    },
    "compared_with": [
        {"label": NASTY, "role": "evaluation", "rows": 9, "exact": 1, "question": 0, "near": 2,
         "method": NASTY},
        {"label": "b@v1", "role": "benchmark", "rows": 9, "contaminated": 0, "too_short": 1,
         "method": "13"},
    ],
    "outside_checks": [{"name": "x", "distribution": "d", "version": "1", "error": NASTY}],
}  # fmt: skip


class Page(HTMLParser):
    """The tags and attributes of an HTML page in which every tag must be closed."""

    VOID = {"meta", "br"}

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@pytest.mark.parametrize("language", ["en", "zh"])
def test_page_is_self_contained_and_escapes_all_texts(language: Any) -> None:
    other = {**REPORT, "score": 80, "findings": REPORT["findings"][1:]}
    subject = Subject(NASTY, "2026-11-25", [NASTY], compare_reports(other, REPORT), NASTY)
    text = render_report(REPORT, subject, language)
    page = Page(text)
    assert not page.tags & {"script", "img", "link", "iframe", "object", "form", "a"}
    assert not {
        name for name in page.attributes if name.startswith("on") or name in {"src", "href"}
    }
    assert "default-src 'none'" in text
    assert "61" in text
    assert ("暂时不要用于训练" if language == "zh" else "Do not train on this yet") in text


@pytest.mark.parametrize(
    ("findings", "failures", "said"),
    [
        ([], None, "Ready to train on"),
        ([finding("duplicates", 0.1)], None, "Can be used for training, with warnings"),
        ([finding("empty", 0.1, "error")], None, "Do not train on this yet"),
        ([], ["its score is 1"], "Do not train on this yet"),
    ],
)
def test_page_shows_the_verdict(findings: list[Any], failures: list[str] | None, said: str) -> None:
    report = {"rows": 10, "score": 90, "findings": findings}
    assert f"<h1>{said}</h1>" in render_report(report, Subject("a@v1", failures=failures), "en")


def test_page_example_of_a_copy_names_the_original_row() -> None:
    copies = finding("duplicates", 0.1, examples=[{"row": 11, "text": "= 1000"}])
    report = {"rows": 10, "score": 90, "findings": [copies]}
    assert "a copy of row 1,000<" in render_report(report, Subject("a@v1"), "en")
    assert "与第 1,000 条相同<" in render_report(report, Subject("a@v1"), "zh")
    whole = {"row": 11, "text": "= 10: user: = 3: x"}
    copies["examples"] = [whole]
    assert "a copy of row 10: user: = 3: x<" in render_report(report, Subject("a@v1"), "en")
    report["findings"] = [finding("no_answer", 0.1, examples=[whole])]
    assert "<span>= 10: user: = 3: x<" in render_report(report, Subject("a@v1"), "en")


def test_page_shows_incomplete_reports() -> None:
    Page(
        render_report(
            {"score": "NaN", "findings": [{"code": "x", "share": "NaN"}]}, Subject("a"), "zh"
        )
    )
    Page(render_report({}, Subject("a"), "en"))


def test_words_have_the_same_parameters_in_both_languages() -> None:
    for english, chinese in WORDS.values():
        assert english.isascii()
        assert chinese
        assert english.count("{") == chinese.count("{")


def test_compared_classifies_findings_by_their_change() -> None:
    before = {"score": 50, "rows": 10, "findings": [
        finding("gone", 0.1), finding("same", 0.1), finding("less", 0.2), finding("more", 0.1),
    ]}  # fmt: skip
    after = {"score": 80, "rows": 9, "findings": [
        finding("same", 0.1), finding("less", 0.1), finding("more", 0.2), finding("fresh", 0.3),
    ]}  # fmt: skip
    found = compare_reports(before, after)
    assert [(each["code"], each["change"]) for each in found["findings"]] == [
        ("fresh", "new"), ("more", "worse"), ("same", "same"), ("less", "better"), ("gone", "gone"),
    ]  # fmt: skip
    assert found["score"] == {"before": 50, "after": 80}
    assert found["findings"][3]["before"] == {"count": 20, "share": 0.2}
    assert found["findings"][4]["after"] is None


@pytest.mark.parametrize(("counts", "lacks"), [("before", "after"), ("after", "before")])
def test_compared_token_finding_missing_a_tokenizer_is_not_checked(counts: str, lacks: str) -> None:
    some = {"findings": [finding("over_length", 0.1), finding("empty", 0.1)], "tokens": {"max": 9}}
    reports = {counts: some, lacks: {"findings": [finding("empty", 0.1)], "tokens": None}}
    changes = compare_reports(**reports)
    became = {each["code"]: each["change"] for each in changes["findings"]}
    assert became == {"over_length": "not_checked", "empty": "same"}
    page = render_report(REPORT, Subject("a@v2", changes=changes, since="a@v1"), "en")
    assert "not checked" in page
    assert "gone" not in page
    reports[lacks]["tokens"] = {"max": 5}
    became = {each["code"]: each["change"] for each in compare_reports(**reports)["findings"]}
    assert became["over_length"] == ("gone" if counts == "before" else "new")
