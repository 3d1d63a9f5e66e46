"""``aiplatform datasets report`` and ``check``: may I train on this?"""

from pathlib import Path
from typing import Annotated, Any

import typer

from aiplatform.cli.dataset_changes import DatasetArgument
from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import age_text, console, plain, print_json, print_rows, print_table, say
from aiplatform.cli.session import connect

BaseModel = Annotated[
    str | None,
    typer.Option("--base-model", "-m", help="Whose tokenizer counts tokens in the report."),
]
MaxLength = Annotated[
    int | None, typer.Option("--max-length", min=8, help="Tokens beyond which a row is too long.")
]


def report(
    dataset: DatasetArgument,
    compare: Annotated[
        str | None,
        typer.Option("--compare", metavar="VERSION", help="What got better since: v3, or a tag."),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option("--html", metavar="FILE", help="Write it as a page that needs nothing else."),
    ] = None,
    lang: Annotated[
        str | None, typer.Option("--lang", help="The page's language: en or zh.")
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="All reports that were made of this version.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show the quality report: may I train on this?"""
    if lang is not None and lang not in {"en", "zh"}:
        raise typer.BadParameter(f"--lang {lang}: give en or zh")
    datasets = connect(project).datasets
    if html is not None:
        page = datasets.report_page(dataset, since=compare, language=lang)
        html.write_text(page, encoding="utf-8")
        if json:
            print_json({"path": str(html), "size": html.stat().st_size})
        else:
            say(f"Written to {html}.")
    elif history:
        print_table(
            datasets.reports(dataset),
            {
                "MADE": lambda r: age_text(r.created_at),
                "SCORE": lambda r: r.score,
                "FINDINGS": lambda r: r.findings,
                "COMPARED WITH": lambda r: ", ".join(r.compared_with) or "–",
                "UUID": lambda r: str(r.uuid),
            },
            as_json=json,
            empty="There is no quality report yet.",
        )
    elif compare is not None:
        changes = datasets.report_changes(dataset, compare)
        if json:
            print_json(changes)
        else:
            print_changes(changes)
    else:
        found = datasets.report(dataset)
        if json:
            print_json(found)
        else:
            print_report(found)


def check(
    dataset: DatasetArgument,
    base_model: BaseModel = None,
    max_length: MaxLength = None,
    against: Annotated[
        list[str] | None,
        typer.Option("--against", metavar="DATASET", help="Evaluation data; NAME or NAME@VERSION."),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option("--benchmark", metavar="DATASET", help="A benchmark, uploaded as a dataset."),
    ] = None,
    project: Project = None,
    json: Json = False,
) -> None:
    """Make the quality report again, and show it: for a base model or another length, or compared
    with other data. Without --against and --benchmark it is compared with what it was before.
    """
    client = connect(project)
    client.datasets.check(
        dataset,
        base_model=base_model,
        max_length=max_length,
        against=against or None,
        benchmarks=benchmark or None,
    ).wait()
    found = client.datasets.report(dataset)
    if json:
        print_json(found)
    else:
        print_report(found)


def print_report(found: dict[str, Any]) -> None:
    """The report for people: score, findings, tokens, what it was compared with."""
    from rich.text import Text

    if not found:
        say("There is no quality report yet.")
        return
    out = console()
    out.print(Text(f"Score {found.get('score')} of 100, {found.get('rows')} rows", style="bold"))
    findings = found.get("findings") or []
    if findings:
        print_rows(
            ["SEVERITY", "ROWS", "SHARE", "FINDING", "CODE", "FIXES"],
            [
                [
                    finding.get("severity"),
                    finding.get("count"),
                    f"{finding.get('share') or 0:.1%}",
                    finding.get("message"),
                    finding.get("code"),
                    ", ".join(finding.get("fixes") or ()) or "–",
                ]
                for finding in findings
            ],
        )
    else:
        out.print("Nothing was found wanting.")
    tokens = found.get("tokens")
    if tokens:
        facts = [
            f"{label} {tokens[key]:.0f}"
            for key, label in (
                ("mean", "mean"),
                ("p50", "median"),
                ("p95", "95 %"),
                ("max", "most"),
            )
            if tokens.get(key) is not None
        ]
        cut = tokens.get("over_length")
        out.print(plain(f"Tokens a row: {', '.join(facts)}; too long: {cut or 0} rows"))
    for each in found.get("compared_with") or ():
        out.print(plain(_compared(each)))
    for each in found.get("outside_checks") or ():
        if each.get("error"):
            out.print(plain(f"The check {each.get('name')} failed: {each['error']}"))


def _compared(each: dict[str, Any]) -> str:
    if each.get("role") == "benchmark":
        said = f"{each.get('contaminated')} of {each.get('rows')} rows share a passage"
    else:
        said = (
            f"of its {each.get('rows')} rows {each.get('exact')} are here word for word, "
            f"{each.get('question')} by question, {each.get('near')} almost"
        )
    return f"Compared with {each.get('label')}: {said}"


def print_changes(changes: dict[str, Any]) -> None:
    """What changed from one report to another, for people."""
    score, rows = changes["score"], changes["rows"]
    say(
        f"{changes['before']} → {changes['after']}: score {score['before']} → {score['after']}, "
        f"rows {rows['before']} → {rows['after']}"
    )
    if not changes["findings"]:
        say("Neither has findings.")
        return
    print_rows(
        ["CHANGE", "BEFORE", "AFTER", "FINDING", "CODE"],
        [
            [
                each["change"].replace("_", " "),
                _count(each["before"]),
                _count(each["after"]),
                each["message"],
                each["code"],
            ]
            for each in changes["findings"]
        ],
    )


def _count(facts: dict[str, Any] | None) -> str:
    return "–" if facts is None else f"{facts['count']} ({facts['share']:.1%})"


def register(app: typer.Typer) -> None:
    """Add the commands to those of datasets."""
    app.command()(report)
    app.command()(check)
