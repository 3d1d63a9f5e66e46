"""The commands ``aiplatform datasets fix`` and ``gate``, which act on quality reports."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from aiplatform.cli.dataset_changes import (
    DatasetArgument,
    Detach,
    Message,
    Parent,
    print_new_version,
)
from aiplatform.cli.options import Json, Project
from aiplatform.cli.output import print_json, print_rows, say
from aiplatform.cli.session import connect
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
    detach: Detach = False,
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
    made = client.datasets.fix(dataset, chosen, message=message, parent=parent)
    print_new_version(made, json, detach=detach)


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


def register(app: typer.Typer) -> None:
    """Add the commands to ``aiplatform datasets``."""
    app.command()(fix)
    app.command()(gate)
