"""Present quality reports to users: compare two of them, or render one as an HTML page.

The page is self-contained, so it can be sent or printed. Datasets may contain any text. So every
text is escaped where it enters the page, and a content security policy in the page forbids scripts
and requests.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from html import escape
from typing import Any, Literal

from aiplatform.protocol.fixes import TOKEN_FINDINGS, tokens_counted

ORDER = ("new", "worse", "not_checked", "same", "better", "gone")
NOTABLE = 1e-6
"""Minimum difference between shares that counts as a change; reports round to six digits."""


def compare_reports(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Compare two reports: scores, numbers of rows, and the change of each finding.

    Findings are identified by code and column. A finding is ``new`` or ``gone``; ``worse`` or
    ``better``, depending on its share of the rows; or the ``same``. A finding that needs a
    tokenizer is ``not_checked`` unless both reports were made with one.
    """
    first, second = _by_code(before), _by_code(after)
    findings = [_change(key, first.get(key), second.get(key)) for key in {**first, **second}]
    if not (tokens_counted(before) and tokens_counted(after)):
        for each in findings:
            if each["code"] in TOKEN_FINDINGS:
                each["change"] = "not_checked"
    findings.sort(key=lambda each: (ORDER.index(each["change"]), each["code"]))
    return {
        "score": {"before": before.get("score"), "after": after.get("score")},
        "rows": {"before": before.get("rows"), "after": after.get("rows")},
        "findings": findings,
    }


Key = tuple[str, str | None]


def _by_code(report: Mapping[str, Any]) -> dict[Key, Mapping[str, Any]]:
    return {
        (str(found.get("code")), found.get("column")): found
        for found in report.get("findings") or ()
    }


def _change(
    key: Key, before: Mapping[str, Any] | None, after: Mapping[str, Any] | None
) -> dict[str, Any]:
    shown = after or before or {}
    step = _share_of(after) - _share_of(before)
    if before is None:
        change = "new"
    elif after is None:
        change = "gone"
    elif abs(step) <= NOTABLE or before.get("count") == after.get("count"):
        change = "same"  # The share also grows when only other rows were removed.
    else:
        change = "worse" if step > 0 else "better"
    return {
        "code": key[0],
        "column": key[1],
        "severity": shown.get("severity"),
        "message": shown.get("message"),
        "message_zh": shown.get("message_zh"),
        "change": change,
        "before": _count_and_share(before),
        "after": _count_and_share(after),
    }


def _count_and_share(found: Mapping[str, Any] | None) -> dict[str, Any] | None:
    return None if found is None else {"count": found.get("count"), "share": found.get("share")}


def _share_of(found: Mapping[str, Any] | None) -> float:
    share = 0 if found is None else found.get("share")
    return float(share) if isinstance(share, int | float) else 0.0


STYLE = """
:root{--ink:#1c2330;--quiet:#667085;--paper:#f5f6f8;--card:#fff;--line:#e4e7ec;--accent:#3b5bdb;
--bad:#c92a2a;--bad-soft:#fff0f0;--care:#b25e09;--care-soft:#fff6e5;--good:#237b4b;
--good-soft:#eaf7ef;--info:#3b5bdb;--info-soft:#eef2ff}
@media (prefers-color-scheme:dark){:root{--ink:#e6e9ef;--quiet:#98a2b3;--paper:#12151b;
--card:#1b2029;--line:#2c3340;--accent:#8ea4ff;--bad:#ff8787;--bad-soft:#3a1d20;--care:#ffc078;
--care-soft:#37290f;--good:#69db9c;--good-soft:#14301f;--info:#8ea4ff;--info-soft:#1c2546}}
*{box-sizing:border-box}
body{margin:0;background:var(--paper);color:var(--ink);font:15px/1.55 system-ui,-apple-system,
"Segoe UI",Roboto,"Noto Sans","PingFang SC","Microsoft YaHei","Noto Sans CJK SC",sans-serif}
main{max-width:960px;margin:0 auto;padding:32px 20px 48px}
h1{font-size:30px;line-height:1.2;margin:2px 0 6px;letter-spacing:-.01em}
h2{font-size:17px;margin:0 0 12px}
h3{font-size:15px;margin:0;font-weight:600}
p{margin:6px 0}
.quiet{color:var(--quiet);font-weight:400;font-size:13px}
header{display:flex;gap:28px;align-items:flex-start;background:var(--card);border:1px solid
var(--line);border-left:8px solid var(--tone);border-radius:14px;padding:28px;margin-bottom:28px}
header.yes{--tone:var(--good)}header.care{--tone:var(--care)}header.no{--tone:var(--bad)}
header h1{color:var(--tone)}
.label{font-weight:600;margin:0}
.score{flex:none;width:132px;height:132px;border-radius:50%;background:conic-gradient(var(--tone)
calc(var(--part)*1%),var(--line) 0);display:grid;place-items:center}
.score>div{width:104px;height:104px;border-radius:50%;background:var(--card);display:grid;
place-content:center;text-align:center}
.score b{font-size:38px;line-height:1}
.score span{font-size:12px;color:var(--quiet)}
.said ul{margin:8px 0 12px;padding-left:20px}
.said li{margin:2px 0}
.pills{display:flex;gap:8px;flex-wrap:wrap;margin:0}
.pill{border-radius:99px;padding:3px 12px;font-size:13px}
.pill.error{background:var(--bad-soft);color:var(--bad)}
.pill.warning{background:var(--care-soft);color:var(--care)}
.pill.info{background:var(--info-soft);color:var(--info)}
section{margin:0 0 28px}
article{--tone:var(--info);background:var(--card);border:1px solid var(--line);border-radius:12px;
padding:16px 18px;margin-bottom:12px;break-inside:avoid}
article.error{--tone:var(--bad)}article.warning{--tone:var(--care)}
.line{display:flex;justify-content:space-between;gap:16px;align-items:baseline}
.amount{flex:none;font-variant-numeric:tabular-nums;color:var(--tone);font-weight:600;
font-size:14px}
.bar{height:6px;border-radius:3px;background:var(--line);overflow:hidden;margin:8px 0}
.bar i{display:block;height:100%;background:var(--tone,var(--accent));border-radius:3px}
code{font:12.5px/1.4 ui-monospace,SFMono-Regular,Menlo,Consolas,monospace;background:var(--paper);
border:1px solid var(--line);border-radius:5px;padding:1px 6px;margin-right:4px}
details{margin-top:8px}
summary{cursor:pointer;color:var(--quiet);font-size:13px}
ol{list-style:none;margin:6px 0 0;padding:0}
ol li{display:flex;gap:12px;padding:5px 0;border-top:1px solid var(--line);font-size:13.5px}
ol li span:last-child{overflow-wrap:anywhere;min-width:0}
.row{flex:none;min-width:64px;text-align:right;color:var(--quiet);
font-variant-numeric:tabular-nums}
table{width:100%;border-collapse:collapse;background:var(--card);border:1px solid var(--line);
border-radius:12px;border-spacing:0;overflow:hidden}
th{text-align:left;font-size:12px;color:var(--quiet);font-weight:600}
th,td{padding:9px 14px;border-top:1px solid var(--line);vertical-align:top}
tr:first-child>*{border-top:0}
.n{font-variant-numeric:tabular-nums;white-space:nowrap}
.big{font-size:20px;margin:0 0 12px}
.tag{display:inline-block;border-radius:6px;padding:1px 8px;font-size:12.5px;white-space:nowrap;
background:var(--paper);color:var(--quiet)}
.tag.bad{background:var(--bad-soft);color:var(--bad)}
.tag.good{background:var(--good-soft);color:var(--good)}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(300px,1fr));gap:0 24px}
.facts svg{width:100%;height:110px;background:var(--card);border:1px solid var(--line);
border-radius:10px;padding:8px}
.facts rect{fill:var(--accent)}
.ends{display:flex;justify-content:space-between;font-size:12px;color:var(--quiet);margin:2px 4px}
.bars td{padding:5px 12px}.bars .wide{width:60%}.bars .bar{margin:8px 0 0}
footer{border-top:1px solid var(--line);padding-top:14px}
@media (max-width:640px){header{flex-direction:column}.line{flex-direction:column;gap:4px}}
@media print{body{background:#fff}main{padding:0;max-width:none}details>*{display:block}}
""".strip().replace("\n", "")


Language = Literal["en", "zh"]

WORDS: dict[str, tuple[str, str]] = {
    "title": ("Quality report", "质量报告"),
    "rows": ("rows", "条数据"),
    "score": ("Score", "得分"),
    "of_100": ("of 100", "/ 100"),
    "verdict_yes": ("Ready to train on", "可以用于训练"),
    "verdict_yes_why": (
        "No errors or warnings were found.", "没有发现错误或警告。"),
    "verdict_care": ("Can be used for training, with warnings", "可以用于训练，但有警告"),
    "verdict_care_why": (
        "There are no errors, but these findings reduce the quality of the model.",
        "没有错误，但以下问题会影响训练效果。"),
    "verdict_no": ("Do not train on this yet", "暂时不要用于训练"),
    "verdict_no_why": (
        "Fix these errors first.", "请先处理以下错误。"),
    "verdict_gate": (
        "Training is refused: the version does not pass the project's quality gate.",
        "项目的质量门禁未通过，训练会被拒绝。"),
    "error": ("Errors", "错误"),
    "warning": ("Warnings", "警告"),
    "info": ("Notes", "提示"),
    "one_error": ("Error", "错误"),
    "one_warning": ("Warning", "警告"),
    "one_info": ("Note", "提示"),
    "none": ("Nothing.", "无。"),
    "count": ("{count} rows, {share}", "{count} 条，占 {share}"),
    "count_one": ("{count} row, {share}", "{count} 条，占 {share}"),
    "effect": ("Effect", "影响"),
    "fixes": ("Fixes", "修复方式"),
    "examples": ("Examples", "示例"),
    "copy_of": ("a copy of row {row}", "与第 {row} 条相同"),
    "row": ("row", "第"),
    "groups": ("Groups of rows", "重复的数据组"),
    "changes": ("Compared with {label}", "与 {label} 比较"),
    "change": ("Change", "变化"),
    "finding": ("Finding", "问题"),
    "before": ("Before", "之前"),
    "after": ("After", "之后"),
    "new": ("new", "新增"),
    "worse": ("worse", "变差"),
    "not_checked": ("not checked", "未检查"),
    "same": ("same", "不变"),
    "better": ("better", "变好"),
    "gone": ("gone", "已消除"),
    "gate": ("Quality gate", "质量门禁"),
    "passed": ("Passed", "通过"),
    "failed": ("Not passed", "未通过"),
    "no_gate": ("The project has no rules.", "项目没有设置规则。"),
    "tokens": ("Tokens per row", "每条数据的 token 数"),
    "token_facts": (
        "median {p50}, 95 % at most {p95}, longest {max}; over {max_length}: {over_length} rows",
        "中位数 {p50}，95% 不超过 {p95}，最长 {max}；超过 {max_length} 被截断：{over_length} 条"),
    "languages": ("Languages", "语言"),
    "language_note": ("from {rows} rows whose language is clear", "基于 {rows} 条语言明确的数据"),
    "labels": ("Labels", "标签"),
    "compared_with": ("Evaluation data and benchmarks", "评估数据与基准测试"),
    "leaked": (
        "{rows} rows; found here: {exact} word for word, {question} by question, {near} almost",
        "{rows} 条中，{exact} 条与本数据完全相同，{question} 条问题相同，{near} 条几乎相同"),
    "contaminated": (
        "{contaminated} of {rows} rows share a passage; {too_short} are too short to tell",
        "{rows} 条中有 {contaminated} 条与本数据有相同原文；{too_short} 条过短无法判断"),
    "outside": ("Other checks", "其他检查"),
    "outside_failed": ("failed", "失败"),
    "outside_fine": ("ran", "已运行"),
    "formula": ("How the score is computed", "得分的计算方法"),
    "made": ("made", "生成于"),
}  # fmt: skip


def word(language: Language, key: str, **params: object) -> str:
    """Return the text of a key in a language, with its parameters inserted."""
    return WORDS[key][language == "zh"].format(**params)


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
        changes: The result of :func:`~aiplatform.data.reports.compare_reports`; None
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
    """Return the example of a duplicate, with "a copy of row 17" instead of the prefix ``= 17``."""
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
