"""Render a report as a self-contained HTML page, to send or to print.

Rows of datasets may contain any text. Therefore every text is escaped where it enters the page, and
a content security policy in the page forbids scripts and requests.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

from aiplatform.data.reports.style import STYLE
from aiplatform.data.reports.words import Language, word

SEVERITIES = ("error", "warning", "info")
MOST_LISTED = 3
COPIES = "duplicates"
COPY = re.compile(r"= (\d+)(?=: |$)")
"""Pattern of the row number at the beginning of an example of :data:`COPIES`."""
CHANGES = {
    "new": "bad",
    "worse": "bad",
    "not_checked": "",
    "same": "",
    "better": "good",
    "gone": "good",
}


@dataclass(frozen=True, slots=True)
class Subject:
    """The version that the page describes, and additional content.

    Attributes:
        label: The version, such as ``faq@v3``.
        made: The time when the report was made, as text.
        failures: Reasons why the project's quality gate refuses the version; None if the project
            has no gate.
        changes: The result of :func:`~aiplatform.data.reports.comparison.compare_reports`; None
            without a comparison.
        since: The version with which it is compared.
    """

    label: str
    made: str = ""
    failures: list[str] | None = None
    changes: Mapping[str, Any] | None = None
    since: str = ""


def render_report(report: Mapping[str, Any], subject: Subject, language: Language) -> str:
    """Return the complete HTML page of a report."""
    findings = list(report.get("findings") or ())
    body = "".join(
        [
            _head(report, subject, findings, language),
            _changes(subject, language),
            *(_group(kind, findings, language) for kind in SEVERITIES),
            _compared_with(report, language),
            _facts(report, language),
            _foot(report, subject, language),
        ]
    )
    title = escape(f"{word(language, 'title')}: {subject.label}")
    policy = "default-src 'none'; style-src 'unsafe-inline'"
    code = "zh-CN" if language == "zh" else "en"
    return (
        f'<!doctype html>\n<html lang="{code}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{title}</title><style>{STYLE}</style></head><body><main>{body}</main></body></html>\n"
    )


def _head(
    report: Mapping[str, Any], subject: Subject, findings: list[Any], language: Language
) -> str:
    counts = {kind: sum(f.get("severity") == kind for f in findings) for kind in SEVERITIES}
    refused = bool(subject.failures)
    verdict = "no" if counts["error"] or refused else "care" if counts["warning"] else "yes"
    why = word(language, "verdict_gate" if refused else f"verdict_{verdict}_why")
    reasons = [escape(text) for text in subject.failures or ()]
    if not refused:
        worst = [
            f for f in findings if f.get("severity") == ("error" if verdict == "no" else "warning")
        ]
        reasons = [
            f'{_text(f, "message", language)} <span class="quiet">({_amount(f, language)})</span>'
            for f in worst[:MOST_LISTED]
        ]
    listed = "".join(f"<li>{reason}</li>" for reason in reasons)
    pills = "".join(
        f'<span class="pill {kind}"><b>{counts[kind]}</b> {word(language, kind)}</span>'
        for kind in SEVERITIES
    )
    rows = _number(report.get("rows"))
    return (
        f'<header class="{verdict}"><div class="score" style="--part:{_part(report.get("score"))}">'
        f"<div><b>{escape(str(report.get('score', '–')))}</b>"
        f"<span>{word(language, 'of_100')}</span></div></div>"
        f'<div class="said"><p class="label">{escape(subject.label)}'
        f'<span class="quiet"> · {rows} {word(language, "rows")} · '
        f"{escape(str(report.get('shape', '')))}</span></p>"
        f"<h1>{word(language, f'verdict_{verdict}')}</h1><p>{why}</p>"
        f'<ul>{listed}</ul><p class="pills">{pills}</p></div></header>'
    )


def _changes(subject: Subject, language: Language) -> str:
    if subject.changes is None:
        return ""
    score = subject.changes["score"]
    lines = "".join(
        f'<tr><td><span class="tag {CHANGES[each["change"]]}">'
        f"{word(language, each['change'])}</span></td><td>{_text(each, 'message', language)}</td>"
        f'<td class="n">{_fact(each["before"])}</td><td class="n">{_fact(each["after"])}</td></tr>'
        for each in subject.changes["findings"]
    )
    heads = "".join(
        f"<th>{word(language, key)}</th>" for key in ("change", "finding", "before", "after")
    )
    return (
        f"<section><h2>{word(language, 'changes', label=escape(subject.since))}</h2>"
        f'<p class="big">{word(language, "score")} {escape(str(score["before"]))} → '
        f"<b>{escape(str(score['after']))}</b></p><table><tr>{heads}</tr>{lines}</table></section>"
    )


def _group(kind: str, findings: Iterable[Any], language: Language) -> str:
    chosen = [finding for finding in findings if finding.get("severity") == kind]
    if not chosen:
        return ""
    cards = "".join(_card(finding, kind, language) for finding in chosen)
    heading = f'{word(language, kind)} <span class="quiet">{len(chosen)}</span>'
    return f"<section><h2>{heading}</h2>{cards}</section>"


def _card(finding: Mapping[str, Any], kind: str, language: Language) -> str:
    code = escape(str(finding.get("code")))
    fixes = "".join(f"<code>{escape(str(fix))}</code>" for fix in finding.get("fixes") or ())
    offered = f" · {word(language, 'fixes')}: {fixes}" if fixes else ""
    width = max(100 * _share(finding), 0.4)
    return (
        f'<article class="{kind}"><div class="line">'
        f"<h3>{_text(finding, 'message', language)}</h3>"
        f'<span class="amount">{_amount(finding, language)}</span></div>'
        f'<div class="bar"><i style="width:{width:.1f}%"></i></div>'
        f"<p>{_text(finding, 'effect', language)}</p>"
        f'<p class="quiet"><code>{code}</code>{offered}</p>'
        f"{_examples(finding, language)}{_groups(finding, language)}</article>"
    )


def _examples(finding: Mapping[str, Any], language: Language) -> str:
    tell = _as_copy if finding.get("code") == COPIES else _as_it_is
    lines = "".join(
        f'<li><span class="row">{_number(example.get("row"))}</span>'
        f"<span>{escape(tell(str(example.get('text', '')), language))}</span></li>"
        for example in finding.get("examples") or ()
    )
    if not lines:
        return ""
    summary = word(language, "examples")
    return f"<details open><summary>{summary}</summary><ol>{lines}</ol></details>"


def _as_it_is(text: str, _: Language) -> str:
    return text


def _as_copy(text: str, language: Language) -> str:
    """Return the example of a duplicate, with the prefix ``= 17`` as "a copy of row 17"."""
    said = COPY.match(text)
    if said is None:
        return text
    return word(language, "copy_of", row=_number(int(said[1]))) + text[said.end() :]


def _groups(finding: Mapping[str, Any], language: Language) -> str:
    groups = "; ".join(
        ", ".join(_number(row) for row in group) for group in finding.get("groups") or ()
    )
    if not groups:
        return ""
    return f"<details><summary>{word(language, 'groups')}</summary><p>{groups}</p></details>"


def _compared_with(report: Mapping[str, Any], language: Language) -> str:
    entries = []
    for each in report.get("compared_with") or ():
        benchmark = each.get("role") == "benchmark"
        facts = {
            key: _number(value)
            for key, value in each.items()
            if key not in {"label", "method", "method_zh"}
        }
        said = word(language, "contaminated" if benchmark else "leaked", **facts)
        dirty = each.get("contaminated") if benchmark else each.get("exact") or each.get("near")
        mark = "bad" if dirty else "good"
        entries.append(
            f'<tr><td><span class="tag {mark}">{escape(str(each.get("label")))}</span></td>'
            f'<td>{said}<br><span class="quiet">{_text(each, "method", language)}</span>'
            "</td></tr>"
        )
    if not entries:
        return ""
    return (
        f"<section><h2>{word(language, 'compared_with')}</h2>"
        f"<table>{''.join(entries)}</table></section>"
    )


def _facts(report: Mapping[str, Any], language: Language) -> str:
    return (
        '<div class="facts">'
        + _tokens(report.get("tokens"), language)
        + _languages(report.get("languages"), language)
        + _labels(report.get("labels"), language)
        + _outside(report.get("outside_checks"), language)
        + "</div>"
    )


def _tokens(tokens: Mapping[str, Any] | None, language: Language) -> str:
    if not tokens:
        return ""
    histogram = tokens.get("histogram") or {}
    counts, width = list(histogram.get("counts") or ()), int(histogram.get("width") or 1)
    most = max(counts, default=0) or 1
    step = 100 / max(len(counts), 1)
    bars = "".join(
        f'<rect x="{at * step:.2f}" y="{40 - 38 * count / most:.2f}" width="{step * 0.86:.2f}" '
        f'height="{38 * count / most:.2f}"><title>{at * width}–{(at + 1) * width - 1}: {count}'
        "</title></rect>"
        for at, count in enumerate(counts)
    )
    shown = {key: _number(value) for key, value in tokens.items() if not isinstance(value, dict)}
    return (
        f"<section><h2>{word(language, 'tokens')}</h2>"
        f'<svg viewBox="0 0 100 40" preserveAspectRatio="none" role="img">{bars}</svg>'
        f'<p class="ends"><span>0</span><span>{_number(len(counts) * width)}</span></p>'
        f"<p>{word(language, 'token_facts', **shown)}</p></section>"
    )


def _languages(mix: Mapping[str, Any] | None, language: Language) -> str:
    if not mix:
        return ""
    shares = list((mix.get("shares") or {}).items())[:8]
    note = word(language, "language_note", rows=_number(mix.get("rows")))
    return (
        f"<section><h2>{word(language, 'languages')}</h2>{_bars(shares)}"
        f'<p class="quiet">{note}</p></section>'
    )


def _labels(labels: Iterable[Mapping[str, Any]] | None, language: Language) -> str:
    listed = list(labels or ())[:10]
    if not listed:
        return ""
    total = sum(int(each["rows"]) for each in labels or ()) or 1
    shares = [(str(each["label"]), int(each["rows"]) / total) for each in listed]
    return f"<section><h2>{word(language, 'labels')}</h2>{_bars(shares)}</section>"


def _outside(checks: Iterable[Mapping[str, Any]] | None, language: Language) -> str:
    lines = "".join(
        f"<li><b>{escape(str(check.get('name')))}</b> "
        f'<span class="quiet">{escape(str(check.get("distribution")))} '
        f"{escape(str(check.get('version')))}</span> "
        + (
            f'<span class="tag bad">{word(language, "outside_failed")}</span> '
            f"{escape(str(check['error']))}"
            if check.get("error")
            else f'<span class="tag good">{word(language, "outside_fine")}</span>'
        )
        + "</li>"
        for check in checks or ()
    )
    return (
        f"<section><h2>{word(language, 'outside')}</h2><ul>{lines}</ul></section>" if lines else ""
    )


def _bars(shares: Iterable[tuple[str, float]]) -> str:
    lines = "".join(
        f'<tr><td>{escape(name)}</td><td class="wide"><div class="bar"><i style="width:'
        f'{100 * share:.1f}%"></i></div></td><td class="n">{share:.1%}</td></tr>'
        for name, share in shares
    )
    return f'<table class="bars">{lines}</table>'


def _foot(report: Mapping[str, Any], subject: Subject, language: Language) -> str:
    formula = report.get("score_formula_zh" if language == "zh" else "score_formula", "")
    made = f"{word(language, 'made')} {escape(subject.made)} · " if subject.made else ""
    return (
        f'<footer class="quiet"><b>{word(language, "formula")}</b>: {escape(str(formula))}'
        f"<br>{made}AI Platform</footer>"
    )


def _text(found: Mapping[str, Any], key: str, language: Language) -> str:
    text = str(found.get(f"{key}_zh" if language == "zh" else key) or found.get(key) or "")
    return escape(text[:1].upper() + text[1:])


def _amount(finding: Mapping[str, Any], language: Language) -> str:
    count = finding.get("count")
    key = "count_one" if count == 1 else "count"
    return word(language, key, count=_number(count), share=f"{_share(finding):.1%}")


def _fact(facts: Mapping[str, Any] | None) -> str:
    return "–" if facts is None else f"{_number(facts.get('count'))} ({_share(facts):.1%})"


def _share(found: Mapping[str, Any]) -> float:
    share = found.get("share")
    return min(max(float(share), 0.0), 1.0) if isinstance(share, int | float) else 0.0


def _part(score: object) -> str:
    return f"{min(max(float(score), 0), 100):.0f}" if isinstance(score, int | float) else "0"


def _number(value: object) -> str:
    return f"{value:,}" if isinstance(value, int | float) else escape(str(value))
