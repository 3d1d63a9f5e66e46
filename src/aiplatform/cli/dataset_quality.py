"""The commands for quality: ``aiplatform datasets report``, ``check``, ``fix`` and ``gate``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from aiplatform.cli.dataset_changes import (
    DatasetArgument,
    DetachReport,
    Message,
    Parent,
    print_new_version,
)
from aiplatform.cli.options import Detach, Json, Project
from aiplatform.cli.output import age_text, print_json, print_rows, print_table, say
from aiplatform.cli.report_text import print_report
from aiplatform.cli.session import connect
from aiplatform.cli.task_display import say_queued, waiting_printer
from aiplatform.language import tr

if TYPE_CHECKING:
    from aiplatform.client.datasets import Datasets


def fix(
    dataset: DatasetArgument,
    fixes: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FINDING=FIX…",
            help="A fix for a finding, such as duplicates=deduplicate "
            "personal_email=mask markup=strip.",
        ),
    ] = None,
    gentle: Annotated[
        bool,
        typer.Option("--all", help="Use the gentlest fix of each error and warning in the report."),
    ] = False,
    message: Message = None,
    parent: Parent = None,
    preview: Annotated[
        bool,
        typer.Option("--preview", help="Show some rows before and after, and change nothing."),
    ] = False,
    detach: DetachReport = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Fix findings of the quality report, and commit a new version."""
    client = connect(project)
    chosen: dict[str, str] = {}
    if gentle:
        found = client.datasets.report(dataset, parent) or {}
        for finding in found.get("findings") or []:
            if finding.get("fixes") and finding.get("severity") != "info":
                chosen[finding["code"]] = finding["fixes"][0]
        if not chosen:
            say(tr("The report has no finding that can be fixed."))
            return
    for text in fixes or ():
        code, equals, action = text.partition("=")
        if not equals:
            raise typer.BadParameter(
                tr("{text}: give FINDING=FIX, as in duplicates=drop", text=text)
            )
        chosen[code] = action
    if not chosen:
        raise typer.BadParameter(tr("give FINDING=FIX, or --all for what the report offers"))
    if preview:
        _print_previews(client.datasets, dataset, parent, chosen, json)
        return
    made = client.datasets.fix(dataset, chosen, message=message, parent=parent)
    print_new_version(made, json, detach=detach)


def _print_previews(
    datasets: "Datasets", dataset: str, version: str | None, fixes: dict[str, str], json: bool
) -> None:
    """Print some rows of each finding before and after its fix."""
    from aiplatform.protocol.encoding import dumps

    found = {
        code: datasets.preview_fix(dataset, code, action, version=version)
        for code, action in fixes.items()
    }
    if json:
        print_json(found)
        return
    for code, preview in found.items():
        shown = len(preview.items)
        say(tr("{code}: {shown} of {count} rows", code=code, shown=shown, count=preview.count))
        print_rows(
            ["ROW", "BEFORE", "AFTER"],
            [
                [
                    row.row,
                    dumps(row.before),
                    tr("dropped") if row.after is None else dumps(row.after),
                ]
                for row in preview.items
            ],
        )


def gate(
    dataset: Annotated[
        str | None,
        typer.Argument(help="Check whether this dataset passes: NAME, NAME@VERSION or NAME@TAG."),
    ] = None,
    min_score: Annotated[
        int | None,
        typer.Option("--min-score", min=0, max=100, help="Minimum score of the report, 0 to 100."),
    ] = None,
    forbid_errors: Annotated[
        bool, typer.Option("--forbid-errors", help="Refuse data whose report contains errors.")
    ] = False,
    limit: Annotated[
        list[str] | None,
        typer.Option(
            "--limit",
            help="Largest share of rows with a finding: FINDING=SHARE, such as "
            "personal_*=0 or duplicates=0.05. Can be repeated.",
        ),
    ] = None,
    evaluation: Annotated[
        list[str] | None,
        typer.Option(
            "--evaluation",
            metavar="DATASET",
            help="Compare every dataset with this held-out data. Can be repeated.",
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            metavar="DATASET",
            help="Compare every dataset with this benchmark, passage by passage. Can be repeated.",
        ),
    ] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Remove all rules.")] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show or set the quality gate of the project, or check whether a dataset passes it.

    Exit code 1 if it does not pass.
    """
    given = (forbid_errors, limit, evaluation, benchmark)
    rules_given = min_score is not None or any(given)
    if dataset is not None and (clear or rules_given):
        raise typer.BadParameter(tr("check a dataset or set rules, not both"))
    if clear and rules_given:
        raise typer.BadParameter(tr("--clear removes all rules and can't be used with other rules"))
    datasets = connect(project).datasets
    if dataset is not None:
        verdict = datasets.verdict(dataset)
        if json:
            print_json(verdict)
        elif verdict["passed"]:
            say(tr("Passed."))
        else:
            print_rows(["RULE", "WHY"], [[f["rule"], f["text"]] for f in verdict["failures"]])
        if not verdict["passed"]:
            raise typer.Exit(1)
        return
    if clear or rules_given:
        rules: dict[str, Any] = {}
        if not clear:
            limits = [_parse_limit(text) for text in limit or ()]
            rules = {"min_score": min_score, "forbid_errors": forbid_errors, "limits": limits}
            for name, others in (("evaluation", evaluation), ("benchmarks", benchmark)):
                refs = [datasets.reference(other, project=project) for other in others or ()]
                rules[name] = [ref.model_dump(mode="json") for ref in refs]
        found = datasets.set_gate(rules)
    else:
        found = datasets.gate()
    if json:
        print_json(found)
        return
    rows = (
        []
        if found["min_score"] is None
        else [[tr("score"), tr("at least {score}", score=found["min_score"])]]
    )
    if found["forbid_errors"]:
        rows.append([tr("errors"), tr("none")])
    rows += [
        [limit["finding"], tr("at most {share:.2%} of the rows", share=limit["max_share"])]
        for limit in found["limits"]
    ]
    for rule, name in (
        (tr("compared with evaluation"), "evaluation"),
        (tr("compared with benchmark"), "benchmarks"),
    ):
        for ref in found.get(name) or ():
            label = f"{_name_of(datasets, ref['dataset'])}@{ref['version'] or 'current'}"
            rows.append([rule, label])
    if rows:
        print_rows(["RULE", "ALLOWED"], rows)
    else:
        say(tr("The gate has no rules: everything passes."))


def _name_of(datasets: "Datasets", uuid: str) -> str:
    from aiplatform.client import NotFound

    try:
        return datasets.get(uuid).name
    except NotFound:  # show that it was deleted, so that the gate can be changed
        return tr("{uuid} (deleted)", uuid=uuid)


def _parse_limit(text: str) -> dict[str, Any]:
    finding, _, share = text.partition("=")
    try:
        return {"finding": finding, "max_share": float(share)}
    except ValueError:
        raise typer.BadParameter(
            tr("--limit {text}: give FINDING=SHARE, as in duplicates=0.05", text=text)
        ) from None


BaseModel = Annotated[
    str | None,
    typer.Option(
        "--base-model", "-m", help="Base model whose tokenizer counts the tokens in the report."
    ),
]
MaxLength = Annotated[
    int | None,
    typer.Option(
        "--max-length", min=8, help="Maximum number of tokens of a row; longer rows are reported."
    ),
]


def report(
    dataset: DatasetArgument,
    compare: Annotated[
        str | None,
        typer.Option(
            "--compare",
            metavar="VERSION",
            help="Compare with the report of this version or tag, such as v3.",
        ),
    ] = None,
    html: Annotated[
        Path | None,
        typer.Option(
            "--html",
            metavar="FILE",
            help="Write the report to this HTML file, which is self-contained.",
        ),
    ] = None,
    lang: Annotated[
        str | None, typer.Option("--lang", help="Language of the HTML file: en or zh.")
    ] = None,
    made: Annotated[
        UUID | None,
        typer.Option(
            "--made", metavar="UUID", help="Show this older report; --history lists them."
        ),
    ] = None,
    since_made: Annotated[
        UUID | None,
        typer.Option(
            "--compare-made",
            metavar="UUID",
            help="Compare with an older report of the version in --compare, by "
            "default of the same version.",
        ),
    ] = None,
    history: Annotated[
        bool, typer.Option("--history", help="List all reports of this version.")
    ] = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Show the quality report: may I train on this?"""
    if lang is not None and lang not in {"en", "zh"}:
        raise typer.BadParameter(tr("--lang {lang}: give en or zh", lang=lang))
    if history and (made or compare or since_made or html):
        raise typer.BadParameter(tr("--history can't be used with --made, --compare or --html"))
    datasets = connect(project).datasets
    if html is not None:
        page = datasets.report_page(
            dataset, since=compare, made=made, since_made=since_made, language=lang
        )
        html.write_text(page, encoding="utf-8")
        if json:
            print_json({"path": str(html), "size": html.stat().st_size})
        else:
            say(tr("Written to {html}.", html=html))
    elif history:
        print_table(
            datasets.reports(dataset),
            {
                "CREATED": lambda r: age_text(r.created_at),
                "SCORE": lambda r: r.score,
                "FINDINGS": lambda r: r.findings,
                "COMPARED WITH": lambda r: ", ".join(r.compared_with) or "–",
                "UUID": lambda r: str(r.uuid),
            },
            as_json=json,
            empty=tr("There is no quality report yet."),
        )
    elif compare is not None or since_made is not None:
        changes = datasets.report_changes(dataset, compare, made=made, since_made=since_made)
        if json:
            print_json(changes)
        else:
            print_changes(changes)
    else:
        _show_report(datasets, dataset, made, as_json=json)


def check(
    dataset: DatasetArgument,
    base_model: BaseModel = None,
    max_length: MaxLength = None,
    against: Annotated[
        list[str] | None,
        typer.Option(
            "--against",
            metavar="DATASET",
            help="Compare with this evaluation data: NAME or NAME@VERSION. Can be repeated.",
        ),
    ] = None,
    benchmark: Annotated[
        list[str] | None,
        typer.Option(
            "--benchmark",
            metavar="DATASET",
            help="Compare with this benchmark, which you have uploaded as a "
            "dataset. Can be repeated.",
        ),
    ] = None,
    detach: Detach = False,
    project: Project = None,
    json: Json = False,
) -> None:
    """Make a new quality report for a version, and show it.

    Use it to change the base model or the length, or to compare with other data. Without --against
    and --benchmark, the version is compared with the same data as before.
    """
    client = connect(project)
    task = client.datasets.check(
        dataset,
        base_model=base_model,
        max_length=max_length,
        against=against or None,
        benchmarks=benchmark or None,
    )
    if detach:
        if json:
            print_json(task)
        else:
            say_queued(task)
        return
    task.wait(
        on_event=None
        if json
        else waiting_printer(tr("the quality report of {label}", label=dataset))
    )
    _show_report(client.datasets, dataset, None, as_json=json)


def _show_report(datasets: "Datasets", dataset: str, made: UUID | None, *, as_json: bool) -> None:
    """Print a report, with the gate's verdict if it is the latest one.

    The gate always judges by the latest report.
    """
    if as_json:
        print_json(datasets.report(dataset, made=made))
        return
    # Use the same version for both, even if another user commits a new one in between.
    version = datasets.version(dataset)
    found = datasets.report(version, made=made)
    print_report(found, None if made is not None else datasets.verdict(version))


def print_changes(changes: dict[str, Any]) -> None:
    """Print the changes from one report to another."""
    score, rows = changes["score"], changes["rows"]
    say(
        tr(
            "{before} → {after}: score {score_before} → {score_after}, "
            "rows {rows_before} → {rows_after}",
            before=changes["before"],
            after=changes["after"],
            score_before=score["before"],
            score_after=score["after"],
            rows_before=rows["before"],
            rows_after=rows["after"],
        )
    )
    if not changes["findings"]:
        say(tr("Neither has findings."))
        return
    print_rows(
        ["CHANGE", "BEFORE", "AFTER", "FINDING", "CODE"],
        [
            [
                tr(each["change"].replace("_", " ")),
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
    """Add the commands to ``aiplatform datasets``."""
    for command in (fix, gate, report, check):
        app.command()(command)
