"""Scenarios for tasks, models, deployments, schedules, sweeps and experiments."""

import json
from functools import partial
from typing import Any

from sqlalchemy import select, text

from aiplatform.protocol.enums import TaskStatus
from aiplatform.server.sweeps.models import Sweep, SweepTrial
from tests.conftest import environment
from tests.factories import (
    make_deployment,
    make_model,
    make_task,
    number,
)
from tests.matrix.scenarios.scenario import Act, Scenario, done, scenario
from tests.server.openai.fake_model_server import FakeModelServer
from tests.server.scripts.conftest import packed


@scenario("PATCH tasks/{task}")
def changing_a_priority(s: Scenario) -> Act:
    return partial(s.owner.patch, s.task(), json={"priority": 6}, headers={"If-Match": "*"})


@scenario("POST tasks/{task}/cancel")
def cancelling(s: Scenario) -> Act:
    return partial(s.owner.post, f"{s.task()}/cancel")


@scenario("POST tasks/{task}/pause")
def pausing(s: Scenario) -> Act:
    return partial(s.owner.post, f"{s.task()}/pause")


@scenario("POST tasks/{task}/resume")
def resuming(s: Scenario) -> Act:
    return partial(s.owner.post, f"{s.task('paused')}/resume")


@scenario("POST tasks/{task}/retry")
def retrying(s: Scenario) -> Act:
    version = f"{s.dataset()}/versions/v1"
    task = done(s.owner.post(f"{version}/quality", json={})).json()
    s.session.execute(
        text("UPDATE tasks SET status = 'failed' WHERE uuid = CAST(:uuid AS uuid)"),
        {"uuid": task["uuid"]},
    )
    s.session.commit()
    return partial(s.owner.post, f"tasks/{task['uuid']}/retry")


@scenario("POST tasks/{task}/end")
def ending_a_run(s: Scenario) -> Act:
    run = done(s.owner.post(f"{s.path('project')}/runs", json={"name": "elsewhere"})).json()
    return partial(s.owner.post, f"tasks/{run['uuid']}/end", json={"status": "completed"})


@scenario("PUT tasks/{task}/artifacts/{path:path}")
def leaving_a_file(s: Scenario) -> Act:
    run = done(s.owner.post(f"{s.path('project')}/runs", json={"name": "elsewhere"})).json()
    return partial(s.owner.put, f"tasks/{run['uuid']}/artifacts/plots/loss.txt", content=b"down")


@scenario("POST tasks/{task}/move")
def moving(s: Scenario) -> Act:
    before, moved = s.task(), s.task()
    body = {"before": before.partition("/")[2]}
    return partial(s.owner.post, f"{moved}/move", json=body)


# Models and deployments


def uploaded(s: Scenario) -> str:
    body = {"name": f"model{number()}", "source": {"kind": "upload"}}
    made = done(s.owner.post(f"{s.path('project')}/models", json=body)).json()
    return f"models/{made['uuid']}"


@scenario("PUT models/{model}/files/{path:path}")
def uploading_a_file(s: Scenario) -> Act:
    return partial(s.owner.put, f"{uploaded(s)}/files/config.json", content=b"{}")


@scenario("POST models/{model}/import")
def importing(s: Scenario) -> Act:
    where = uploaded(s)
    done(s.owner.put(f"{where}/files/config.json", content=b"{}"))
    return partial(s.owner.post, f"{where}/import")


@scenario("PUT models/{model}/aliases/{alias}")
def setting_an_alias(s: Scenario) -> Act:
    body = {"reason": "Better.", "expected": None}
    return partial(s.owner.put, f"{s.path('model')}/aliases/candidate", json=body)


@scenario("POST models/{model}/aliases/{alias}/undo")
def undoing_a_move(s: Scenario) -> Act:
    [alias] = done(s.owner.get(f"{s.path('model')}/aliases")).json()["items"]
    body = {"expected": alias["model"]}
    return partial(s.owner.post, f"{s.path('model')}/aliases/prod/undo", json=body)


@scenario("POST deployments/{deployment}/start")
def starting(s: Scenario) -> Act:
    deployment = make_deployment(s.session, s.world.project)
    return partial(s.owner.post, f"deployments/{deployment.uuid}/start")


@scenario("POST /v1/chat/completions")
def chatting(s: Scenario) -> Act:
    """Send a chat; audit entries of chats are written after the response, in batches."""
    model_server = s.until.enter_context(FakeModelServer())
    served = {"endpoint": model_server.endpoint, "endpoint_token": model_server.token}
    deployment = make_deployment(s.session, s.world.project, status="ready", **served)
    orders = [{"role": "user", "content": json.dumps({"tokens": 2})}]
    body = {"model": str(deployment.uuid), "messages": orders}
    return partial(s.owner.post, "//v1/chat/completions", json=body)


@scenario("POST projects/{project}/bundles")
def uploading_code(s: Scenario) -> Act:
    def act() -> Any:
        with environment(AIPLATFORM_SCRIPTS="true"):
            return s.owner.post(
                f"{s.path('project')}/bundles",
                params={"name": "code"},
                content=packed(main_py="print(1)\n"),
            )

    return act


@scenario("POST projects/{project}/schedules")
def scheduling(s: Scenario) -> Act:
    action = {"kind": "run", "experiment": s.world.params["experiment"]}
    body = {"name": f"nightly{number()}", "cron": "30 2 * * *", "action": action}
    return partial(s.owner.post, f"{s.path('project')}/schedules", json=body)


@scenario("POST projects/{project}/sweeps")
def searching(s: Scenario) -> Act:
    spec = {
        "experiment": s.world.params["experiment"],
        "parameters": {"lora.rank": {"kind": "choice", "values": [4, 8]}},
        "method": "grid",
        "objective": "loss",
    }
    body = {"name": f"search{number()}", "spec": spec}
    return partial(s.owner.post, f"{s.path('project')}/sweeps", json=body)


@scenario("DELETE experiments/{experiment}")
def deleting_an_experiment(s: Scenario) -> Act:
    """Cancel the sweep first, because an experiment with a running sweep can't be deleted."""
    assert s.owner.post(f"{s.path('sweep')}/cancel").is_success
    return partial(s.owner.delete, s.path("experiment"))


@scenario("POST sweeps/{sweep}/register")
def registering_the_best(s: Scenario) -> Act:
    task = make_task(s.session, s.world.project, status=TaskStatus.COMPLETED)
    model = make_model(s.session, s.world.project, task_id=task.id)
    task.model_id = model.id
    sweep = s.session.scalars(select(Sweep).where(Sweep.uuid == s.world.params["sweep"])).one()
    s.session.add(
        SweepTrial(
            sweep_id=sweep.id, number=number(), task_id=task.id, params={}, state="completed",
            value=-number(),
        )
    )  # fmt: skip
    s.session.commit()
    name = f"best{number()}"
    return partial(s.owner.post, f"{s.path('sweep')}/register", json={"name": name})
