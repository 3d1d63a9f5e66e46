"""Quality reports as text: complete for ``report`` and ``check``, a summary after an upload."""

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from aiplatform.cli.output import console, plain, say
from aiplatform.cli.reading_options import reasons_text
from aiplatform.language import tr

if TYPE_CHECKING:
    from rich.console import Console

EXAMPLES = 2
"""Number of examples shown for each error and warning; JSON and HTML contain all."""

GROUPS = 3
GROUP_ROWS = 6
LISTED = 5
"""Number of findings shown after an upload."""

STYLES = {"error": "bold red", "warning": "bold yellow", "info": "dim"}
INDENT = 4

COPIES = frozenset({"duplicates", "near_duplicates"})
COPY = re.compile(r"[=≈] ([0-9]+)(?=:|$)")
"""Pattern at the start of an example of a copied row; captures the original row's number."""


def print_report(found: Mapping[str, Any], verdict: Mapping[str, Any] | None = None) -> None:
    """Print a report: its findings with effects and examples, the gate's verdict, and the score.

    Args:
        found: the report.
        verdict: the gate's verdict; None if it was not requested.
    """
    if not found:
        say(tr("There is no quality report yet."))
        return
    out = console()
    findings = found.get("findings") or []
    for finding in findings:
        _print_finding(out, finding)
        out.print()
    if not findings:
        out.print(tr("No problems were found."))
    _print_facts(out, found)
    _print_gate(out, verdict)
    score = tr(
        "Score {score} of 100, {rows} rows", score=found.get("score"), rows=found.get("rows")
    )
    _print_line(out, score, style="bold")
    if found.get("score_formula"):
        formula = tr("The score is {formula}.", formula=found["score_formula"])
        _print_line(out, formula, style="dim")


def print_short(found: Mapping[str, Any], verdict: Mapping[str, Any] | None, label: str) -> None:
    """Print the worst findings of a report and its score; ``label`` names the version."""
    if not found:
        say(tr("There is no quality report yet."))
        return
    out = console()
    findings = found.get("findings") or []
    counts = {kind: sum(f.get("severity") == kind for f in findings) for kind in STYLES}
    bad = [finding for finding in findings if finding.get("severity") != "info"]
    for finding in bad[:LISTED]:
        _print_heading(out, finding)
    if len(bad) > LISTED:
        out.print(tr("and {count} more", count=len(bad) - LISTED))
    _print_gate(out, verdict)
    score = tr(
        "Score {score} of 100, {rows} rows: {errors}, {warnings}",
        score=found.get("score"),
        rows=found.get("rows"),
        errors=_errors(counts["error"]),
        warnings=_warnings(counts["warning"]),
    )
    _print_line(out, score, style="bold")
    say(
        tr(
            "Examples, and the effect of each finding on training: aiplatform datasets report "
            "{label:quoted}",
            label=label,
        )
    )


def _print_finding(out: "Console", finding: Mapping[str, Any]) -> None:
    """Print a finding; errors and warnings include effect, fixes, examples and similar rows."""
    _print_heading(out, finding)
    bad = finding.get("severity") != "info"
    if bad and finding.get("effect"):
        _print_line(out, str(finding["effect"]), indent=INDENT)
    if finding.get("code"):
        fixes = ", ".join(finding.get("fixes") or ())
        named = str(finding["code"])
        if fixes:
            named = tr("{code}; fixes: {fixes}", code=finding["code"], fixes=fixes)
        _print_line(out, named, indent=INDENT, style="dim")
    if not bad:
        return
    for example in (finding.get("examples") or ())[:EXAMPLES]:
        _print_cut(out, _example(finding, example))
    if finding.get("groups"):
        _print_cut(out, tr("rows alike: {groups}", groups=_groups(finding["groups"])))


def _print_heading(out: "Console", finding: Mapping[str, Any]) -> None:
    from rich.text import Text

    severity = plain(finding.get("severity"))
    said = tr(
        ": {message}, {rows} ({share:.1%})",
        message=finding.get("message"),
        rows=_rows(finding.get("count")),
        share=finding.get("share") or 0,
    )
    _print_text(out, Text.assemble((tr(severity), STYLES.get(severity, "")), plain(said)))


def _example(finding: Mapping[str, Any], example: Mapping[str, Any]) -> str:
    """Return the text of an example row; for a copied row, the text names the original row."""
    row, text = example.get("row"), str(example.get("text", ""))
    said = COPY.match(text) if finding.get("code") in COPIES else None
    if said is None:
        return tr("row {row}: {text}", row=row, text=text)
    facts = {"row": row, "other": said[1], "text": text[said.end() :]}
    if finding["code"] == "duplicates":
        return tr("row {row}, a copy of row {other}{text}", **facts)
    return tr("row {row}, almost row {other}{text}", **facts)


def _rows(count: Any) -> str:
    return tr("1 row") if count == 1 else tr("{count} rows", count=count)


def _errors(count: int) -> str:
    return tr("1 error") if count == 1 else tr("{count} errors", count=count)


def _warnings(count: int) -> str:
    return tr("1 warning") if count == 1 else tr("{count} warnings", count=count)


def _print_facts(out: "Console", found: Mapping[str, Any]) -> None:
    """Print the number of quarantined rows, token counts, comparisons, and failed checks."""
    aside = found.get("quarantined")
    if aside:
        _print_line(
            out,
            tr(
                "Not included: {rows} bad rows, set aside ({reasons})",
                rows=aside["rows"],
                reasons=reasons_text(aside),
            ),
        )
    tokens = found.get("tokens")
    if tokens:
        facts = [
            f"{label} {tokens[key]:.0f}"
            for key, label in (
                ("mean", tr("mean")),
                ("p50", tr("median")),
                ("p95", "95 %"),
                ("max", tr("most")),
            )
            if tokens.get(key) is not None
        ]
        cut = tokens.get("over_length")
        _print_line(
            out,
            tr(
                "Tokens per row: {facts}; too long: {count} rows",
                facts=", ".join(facts),
                count=cut or 0,
            ),
        )
    for each in found.get("compared_with") or ():
        _print_line(out, _compared(each))
    for each in found.get("outside_checks") or ():
        if each.get("error"):
            _print_line(
                out,
                tr("The check {name} failed: {error}", name=each.get("name"), error=each["error"]),
            )


def _compared(each: Mapping[str, Any]) -> str:
    if each.get("role") == "benchmark":
        return tr(
            "Compared with {label}: {contaminated} of {rows} rows share a passage",
            label=each.get("label"),
            contaminated=each.get("contaminated"),
            rows=each.get("rows"),
        )
    return tr(
        "Compared with {label} ({rows} rows); found here: {exact} word for word, "
        "{question} with the same question, {near} almost equal",
        label=each.get("label"),
        rows=each.get("rows"),
        exact=each.get("exact"),
        question=each.get("question"),
        near=each.get("near"),
    )


def _print_gate(out: "Console", verdict: Mapping[str, Any] | None) -> None:
    if verdict is None:
        return
    if verdict.get("passed"):
        _print_line(out, tr("Gate: passed"), style="green")
        return
    _print_line(out, tr("Gate: not passed, so training on it is refused"), style="bold red")
    for failure in verdict.get("failures") or ():
        _print_line(out, str(failure.get("text")), indent=INDENT)


def _groups(groups: list[list[int]]) -> str:
    """Return the largest groups of similar rows as text, with long groups shortened."""
    texts = []
    for group in groups[:GROUPS]:
        rows = ", ".join(map(str, group[:GROUP_ROWS]))
        if more := len(group[GROUP_ROWS:]):
            rows = tr("{rows} and {count} more", rows=rows, count=more)
        texts.append(rows)
    if groups[GROUPS:]:
        texts.append("…")
    return "; ".join(texts)


def _print_line(out: "Console", text: str, *, style: str = "", indent: int = 0) -> None:
    """Print a paragraph, indented and wrapped to the width of the terminal."""
    from rich.text import Text

    _print_text(out, Text(plain(text), style=style), indent=indent)


def _print_text(out: "Console", text: Any, *, indent: int = 0) -> None:
    from rich.padding import Padding

    out.print(Padding(text, (0, 0, 0, indent), expand=False) if indent else text)


def _print_cut(out: "Console", text: str) -> None:
    """Print text on one line, truncated to the terminal's width; wide characters count twice."""
    from rich.text import Text

    line = Text(plain(" ".join(text.split())))
    line.truncate(out.width - INDENT, overflow="ellipsis")
    _print_text(out, line, indent=INDENT)
