"""Tests of comparing the metric series of several tasks, and of their summaries."""

from sqlalchemy.orm import Session

from aiplatform.server.projects.models import Project
from tests.conftest import Api
from tests.factories import make_experiment, make_project, make_task
from tests.server.execution.runs import begin, report


def test_metrics_of_several_runs_are_compared_in_one_request(owner: Api, project: Project) -> None:
    runs = [begin(owner, project, name=f"run {n}")["uuid"] for n in range(3)]
    for number, run in enumerate(runs[:2]):
        points = [("loss", step, number + step / 1e4) for step in range(2_000)]
        report(owner, run, *points)
    answer = owner.get(
        f"projects/{project.uuid}/metrics", params={"task": runs, "key": "loss", "points": 50}
    )
    lines = answer.json()["charts"]["loss"]
    assert [(line["task"], line["name"], line["total"]) for line in lines] == [
        (runs[0], "run 0", 2_000),
        (runs[1], "run 1", 2_000),
    ]
    assert all(2 <= len(line["points"]) <= 50 for line in lines)
    summed = owner.get(f"projects/{project.uuid}/metrics/summary", params={"task": runs})
    tasks = summed.json()["tasks"]
    assert [task["metrics"].get("loss", {}).get("max") for task in tasks] == [
        0.1999,
        1.1999,
        None,
    ]


def test_summary_of_an_experiment_returns_its_runs_and_needs_a_selection(
    owner: Api, project: Project, session: Session
) -> None:
    experiment = make_experiment(session, project)
    run = begin(owner, project, experiment=str(experiment.uuid))["uuid"]
    report(owner, run, ("loss", 1, 1.0))
    path = f"projects/{project.uuid}/metrics/summary"
    found = owner.get(path, params={"experiment": str(experiment.uuid)}).json()["tasks"]
    assert [task["task"] for task in found] == [run]
    assert owner.get(path).json()["code"] == "metric.nothing_to_compare"


def test_comparison_with_tasks_of_other_projects_returns_404(
    owner: Api, project: Project, session: Session
) -> None:
    foreign = make_task(session, make_project(session))
    for path in ("metrics", "metrics/summary"):
        answer = owner.get(
            f"projects/{project.uuid}/{path}",
            params={"task": str(foreign.uuid), "key": "loss"},
        )
        assert answer.status_code == 404
