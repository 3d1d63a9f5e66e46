"""Scenes of models, experiments, runs, tasks, sweeps, schedules, scripts and deployments."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from aiplatform.client import Sweep, Task
from aiplatform.protocol.model_sources import UploadSource
from tests.surface.stage import Stage, scene
from tests.tiny_model import make_tiny_model

SOON = "0 0 1 1 *"


@scene(
    "Model.download",
    "Model.evaluate",
    "Model.files",
    "Model.lineage",
    "Model.reference",
    "Model.refresh",
    "Model.wait_ready",
    "Models.download",
    "Models.evaluate",
    "Models.files",
    "Models.get",
    "Models.lineage",
    "Models.list",
    "Models.list_all",
    "Models.resolve",
    "Models.wait_ready",
    "Task.cancel",
    "Tasks.cancel",
    "Tasks.resolve",
    "Tasks.submit",
    "evaluate",
    "models download",
    "models files",
    "models ls",
    "models show",
)
def models(stage: Stage) -> None:
    models, tuned = stage.client.models, stage.tuned
    uuids = [model.uuid for model in models.list()]
    assert {tuned.uuid, stage.model.uuid} <= set(uuids)
    assert tuned.uuid in [model.uuid for model in models.list_all()]
    assert models.get(tuned).refresh().status == "ready"
    assert models.resolve("tiny") == stage.model.uuid
    assert tuned.reference == f"tuned@{tuned.version}"
    assert tuned.wait_ready().uuid == models.wait_ready(tuned).uuid == tuned.uuid
    paths = {file.path for file in tuned.files()}
    assert paths == {file.path for file in models.files(tuned)}
    assert tuned.lineage() == models.lineage(tuned)
    assert "tiny" in str(tuned.lineage())
    for saved in (
        tuned.download(stage.tmp / "weights"),
        models.download(tuned, stage.tmp / "weights2"),
    ):
        assert paths <= {str(path.relative_to(saved)) for path in saved.rglob("*")}
    done = models.evaluate(tuned, stage.held_out, max_rows=2, answers=0).wait(400)
    assert done.result is not None
    with stage.cordoned():
        task = tuned.evaluate(stage.held_out.uuid, max_rows=2, answers=0).cancel()
        assert task.status == "cancelled"
        queued = stage.told("evaluate", tuned.reference, "--dataset", "held-out", "--detach")
        stage.client.tasks.cancel(queued["uuid"])
    assert "tuned" in [model["name"] for model in stage.told("models", "ls")]
    assert stage.told("models", "show", tuned.reference)["uuid"] == str(tuned.uuid)
    assert {file["path"] for file in stage.told("models", "files", tuned.reference)} == paths
    stage.cli("models", "download", tuned.reference, "--output", stage.tmp / "weights3")
    assert any((stage.tmp / "weights3").rglob(min(paths)))


@scene(
    "Experiment.archive",
    "Experiment.clone",
    "Experiment.delete",
    "Experiment.run",
    "Experiment.runs",
    "Experiment.unarchive",
    "Experiment.update",
    "Experiments.clone",
    "Experiments.create",
    "Experiments.delete",
    "Experiments.get",
    "Experiments.list",
    "Experiments.path",
    "Experiments.resolve",
    "Experiments.run",
    "Experiments.runs",
    "Experiments.spec",
    "Experiments.update",
    "Tasks.path",
)
def experiments(stage: Stage) -> None:
    experiments, made = stage.client.experiments, stage.experiment
    assert stage.training.status == "completed"
    assert made.uuid in [found.uuid for found in experiments.list()]
    assert experiments.get("tiny-steps").uuid == experiments.resolve("tiny-steps") == made.uuid
    assert experiments.path("tiny-steps") == experiments.path(made)
    spec = experiments.spec(base_model=stage.model, dataset=stage.dataset, max_steps=2)
    assert spec.max_steps == 2
    assert stage.training.uuid in [run.uuid for run in made.runs()]
    assert stage.training.uuid in [run.uuid for run in experiments.runs(made)]
    copy = made.clone(stage.name("copy"))
    assert copy.cloned_from == made.uuid
    copy = copy.update(description="A copy.").archive()
    assert copy.archived_at is not None
    copy = copy.unarchive()
    assert (copy.archived_at, copy.description) == (None, "A copy.")
    assert experiments.update(copy, description="Another.").description == "Another."
    experiments.create(gone := stage.name("new"), spec).delete()
    experiments.delete(experiments.clone(made, other := stage.name("copy")))
    assert not {gone, other} & {found.name for found in experiments.list()}
    with stage.cordoned():
        assert copy.run().cancel().experiment == copy.uuid
        assert experiments.run(copy).cancel().status == "cancelled"


@scene(
    "experiments archive",
    "experiments clone",
    "experiments compare",
    "experiments compare-metrics",
    "experiments create",
    "experiments ls",
    "experiments note",
    "experiments rm",
    "experiments run",
    "experiments runs",
    "experiments show",
    "experiments tag",
    "tasks cancel",
    "train",
)
def experiments_by_commands(stage: Stage) -> None:
    first = str(stage.training.uuid)
    name = stage.name("written")
    spec = stage.file("spec.yaml", yaml.safe_dump({
        "base_model": "tiny", "dataset": "questions", "max_steps": 2, "batch_size": 2,
    }))  # fmt: skip
    stage.cli("experiments", "create", name, "--spec", spec)
    stage.cli("experiments", "tag", name, "--add", "x")
    stage.cli("experiments", "note", name, "--file", stage.file("note.md", "A note."))
    shown = stage.told("experiments", "show", name)
    assert (shown["tags"], shown["note"]) == (["x"], "A note.")
    assert shown["config"]["max_steps"] == 2
    stage.cli("experiments", "archive", name)
    copy = f"{name}x"
    stage.cli("experiments", "clone", "tiny-steps", "--name", copy)
    listed = {found["name"] for found in stage.told("experiments", "ls")}
    assert copy in listed
    assert name not in listed
    compared = stage.told("experiments", "compare", "tiny-steps", copy)
    assert [item["name"] for item in compared["items"]] == ["tiny-steps", copy]
    assert "loss" in stage.cli("experiments", "compare-metrics", "tiny-steps", "--key", "loss")
    assert first in [run["uuid"] for run in stage.told("experiments", "runs", "tiny-steps")]
    with stage.cordoned():
        run = stage.told("experiments", "run", copy, "--detach")
        stage.cli("tasks", "cancel", run["uuid"], "--wait")
        trained = stage.told(
            "train", "-m", "tiny", "-d", "questions", "--name", stage.name("trained"),
            "--max-steps", "1", "--detach",
        )  # fmt: skip
        stage.cli("tasks", "cancel", trained["uuid"])
    for task in (run, trained):
        assert stage.client.tasks.get(task["uuid"]).status == "cancelled"
    stage.cli("experiments", "rm", copy, "--yes")
    assert copy not in [found.name for found in stage.client.experiments.list()]


@scene(
    "Comparison.curve",
    "Metrics.compare",
    "Metrics.summaries",
    "Run.rerun",
    "Run.task",
    "Runs.compare",
    "Runs.get",
    "Runs.list",
    "Runs.path",
    "Runs.rerun",
    "Tasks.get",
    "Tasks.metrics",
    "runs compare",
    "runs ls",
    "runs rerun",
    "runs show",
    "tasks compare",
)
def runs(stage: Stage) -> None:
    runs, first = stage.client.runs, stage.training
    name, uuid = first.name, str(first.uuid)
    (found,) = [run for run in runs.list() if run.uuid == first.uuid]
    assert found.task().uuid == runs.get(first).uuid == first.uuid
    assert runs.path(first).endswith(uuid)
    with stage.cordoned():
        assert runs.get(first).rerun().cancel().experiment == first.experiment
        assert runs.rerun(first).cancel().status == "cancelled"
        again = stage.told("runs", "rerun", uuid, "--detach")
        assert stage.client.tasks.cancel(again["uuid"]).status == "cancelled"
    comparison = runs.compare([first, first])
    assert "loss" in comparison.series
    assert comparison.curve("loss")[name]
    assert uuid in [run["uuid"] for run in stage.told("runs", "ls")]
    assert stage.told("runs", "show", uuid)["name"] == name
    compared = stage.told("runs", "compare", uuid, uuid)
    assert [item["uuid"] for item in compared["items"]] == [uuid, uuid]
    (line,) = stage.client.metrics.compare("loss", tasks=[first])["loss"]
    assert (line.task, line.total) == (first.uuid, 2)
    (summary,) = stage.client.metrics.summaries(tasks=[first])
    assert "loss" in summary.metrics
    assert "loss" in stage.cli("tasks", "compare", uuid, uuid, "--key", "loss")


@scene(
    "Client.run",
    "ExternalRun.cancelled",
    "ExternalRun.end",
    "ExternalRun.log",
    "ExternalRun.log_artifact",
    "ExternalRun.set_progress",
    "ExternalRun.task",
    "ExternalRun.write",
    "ExternalRuns.begin",
    "ExternalRuns.sync",
    "ExternalRuns.unsent",
    "runs sync",
    "runs unsent",
)
def reported_runs(stage: Stage) -> None:
    directory = stage.tmp / "runs"
    file = stage.file("plot.txt", "a plot")
    with stage.client.run("reported", directory=directory) as run:
        run.log({"loss": 1.0})
        run.write("a line")
        run.log_artifact(file)
        run.set_progress(0.5)
        assert not run.cancelled
        assert run.task is not None
        assert run.end()
    for name in ("kept", "kept too"):
        with stage.client.external.begin(name, mode="offline", directory=directory) as run:
            run.log({"loss": 1.0})
    first, _ = stage.client.external.unsent(directory)
    assert stage.client.external.sync(first).complete
    stage.cli("runs", "unsent")
    stage.cli("runs", "sync")


@scene(
    "Task.logs",
    "Task.metrics",
    "Task.move",
    "Task.pause",
    "Task.refresh",
    "Task.resume",
    "Task.retry",
    "Task.set_priority",
    "Task.watch",
    "Tasks.download_log",
    "Tasks.list",
    "Tasks.logs",
    "Tasks.move",
    "Tasks.needs",
    "Tasks.pause",
    "Tasks.resume",
    "Tasks.retry",
    "Tasks.search_logs",
    "Tasks.set_priority",
    "Tasks.submit_batch",
    "Tasks.telemetry",
    "Tasks.timeline",
    "Tasks.usage",
    "Tasks.watch",
)
def tasks(stage: Stage) -> None:
    tasks, first = stage.client.tasks, stage.training
    assert first.uuid in [task.uuid for task in tasks.list()]
    assert tasks.get(first).refresh().status == "completed"
    assert tasks.path(first).endswith(str(first.uuid))
    assert tasks.resolve(str(first.uuid)[:13]) == first.uuid
    assert tasks.wait(first).uuid == first.wait().uuid == first.uuid
    assert [event.kind for event in first.watch()][-1] == "end"
    assert [event.kind for event in tasks.watch(first)][-1] == "end"
    text = "".join(chunk.text for chunk in first.logs())
    assert text == "".join(chunk.text for chunk in tasks.logs(first))
    assert tasks.download_log(first, stage.tmp / "log.txt").stat().st_size > 0
    assert tasks.search_logs(first, text.split()[-1]).first() is not None
    assert [point.step for point in first.metrics("loss")["loss"]] == [1, 2]
    assert tasks.metrics(first, "loss") == first.metrics("loss")
    assert tasks.telemetry(first).series is not None
    assert tasks.usage(first)
    assert [entry.kind for entry in tasks.timeline(first)]
    task = stage.parked()
    assert task.pause().resume().set_priority(6).priority == 6
    assert task.move().uuid == task.uuid
    assert task.cancel().status == "cancelled"
    again = task.retry()
    assert again.retry_of == task.uuid
    again.cancel()
    task = stage.parked()
    assert tasks.pause(task).status == "paused"
    assert tasks.resume(task).status == "pending"
    assert tasks.set_priority(task, 6).priority == 6
    assert tasks.move(task).uuid == task.uuid
    assert tasks.cancel(task).status == "cancelled"
    again = tasks.retry(task)
    assert again.retry_of == task.uuid
    assert tasks.cancel(again).status == "cancelled"
    assert tasks.needs([first], [])
    spec = {"type": "data_quality", "dataset": {"dataset": str(stage.held_out.uuid)}}
    (batched,) = tasks.submit_batch([{"name": "batched", "spec": spec}])
    assert batched.wait(300).status == "completed"


@scene(
    "Task.artifacts",
    "tasks artifacts",
    "tasks logs",
    "tasks ls",
    "tasks metrics",
    "tasks next",
    "tasks pause",
    "tasks priority",
    "tasks resume",
    "tasks retry",
    "tasks show",
    "tasks submit",
    "tasks telemetry",
    "tasks timeline",
    "tasks watch",
)
def tasks_by_commands(stage: Stage) -> None:
    first = str(stage.training.uuid)
    assert first in [task["uuid"] for task in stage.told("tasks", "ls")]
    assert stage.told("tasks", "show", first)["status"] == "completed"
    stage.cli("tasks", "watch", first)
    assert stage.cli("tasks", "logs", first)
    assert "loss" in stage.cli("tasks", "metrics", first)
    assert stage.cli("tasks", "telemetry", first)
    assert stage.told("tasks", "timeline", first)
    assert stage.told("tasks", "artifacts", first) == [
        artifact.model_dump(mode="json") for artifact in stage.training.artifacts()
    ]
    spec = stage.file("task.yaml", yaml.safe_dump({
        "type": "data_quality", "dataset": {"dataset": str(stage.held_out.uuid)},
    }))  # fmt: skip
    made = stage.told(
        "tasks", "submit", spec, "--name", stage.name("parked"), "--after", stage.endless.uuid
    )["uuid"]

    def task() -> Task:
        return stage.client.tasks.get(made)

    stage.cli("tasks", "priority", made, "6")
    assert task().priority == 6
    stage.cli("tasks", "next", made)
    stage.cli("tasks", "pause", made)
    assert task().status == "paused"
    stage.cli("tasks", "resume", made)
    assert task().status == "pending"
    stage.cli("tasks", "cancel", made)
    assert task().status == "cancelled"
    again = stage.told("tasks", "retry", made)
    assert again["retry_of"] == made
    stage.client.tasks.cancel(again["uuid"])


@scene(
    "Schedule.delete",
    "Schedule.disable",
    "Schedule.enable",
    "Schedule.firings",
    "Schedule.update",
    "Schedules.create",
    "Schedules.delete",
    "Schedules.firings",
    "Schedules.get",
    "Schedules.list",
    "Schedules.path",
    "Schedules.update",
    "schedules create",
    "schedules disable",
    "schedules enable",
    "schedules firings",
    "schedules ls",
    "schedules rm",
    "schedules show",
)
def schedules(stage: Stage) -> None:
    schedules = stage.client.schedules
    made = schedules.create(stage.name("yearly"), SOON, experiment=stage.experiment)
    assert made.uuid in [found.uuid for found in schedules.list()]
    assert schedules.get(made).uuid == made.uuid
    assert schedules.path(made.name) == schedules.path(made)
    made = made.disable()
    assert not made.enabled
    made = made.enable().update(cron="0 0 2 1 *")
    assert (made.enabled, made.cron) == (True, "0 0 2 1 *")
    assert schedules.update(made, cron=SOON).cron == SOON
    assert made.firings().all() == schedules.firings(made).all() == []
    made.delete()
    other = schedules.create(stage.name("yearly"), SOON, experiment=stage.experiment)
    schedules.delete(other)
    assert not {made.uuid, other.uuid} & {found.uuid for found in schedules.list()}
    name = stage.name("yearly")
    stage.cli("schedules", "create", name, SOON, "--experiment", "tiny-steps")
    stage.cli("schedules", "disable", name)
    assert stage.told("schedules", "show", name)["enabled"] is False
    stage.cli("schedules", "enable", name)
    assert name in [found["name"] for found in stage.told("schedules", "ls")]
    assert stage.told("schedules", "firings", name) == []
    stage.cli("schedules", "rm", name, "--yes")
    assert name not in [found.name for found in schedules.list()]


@scene(
    "Worker.devices_free",
    "Workers.cordon",
    "Workers.drain",
    "Workers.get",
    "Workers.list",
    "Workers.path",
    "Workers.resume",
    "Workers.telemetry",
    "workers cordon",
    "workers drain",
    "workers ls",
    "workers resume",
    "workers show",
)
def workers(stage: Stage) -> None:
    workers = stage.client.workers
    worker = next(found for found in workers.list() if found.alive)
    assert worker.devices_free >= 0
    assert workers.get(worker.name).uuid == worker.uuid
    assert workers.path(worker.name) == workers.path(worker)
    since = datetime.now(UTC) - timedelta(hours=1)
    assert workers.telemetry(worker, since=since).series is not None
    assert workers.cordon(worker).state == "cordoned"
    assert workers.drain(worker).state == "draining"
    assert workers.resume(worker).state == "active"
    assert worker.name in [found["name"] for found in stage.told("workers", "ls")]

    def state() -> str:
        return str(stage.told("workers", "show", worker.name)["state"])

    stage.cli("workers", "cordon", worker.name)
    assert state() == "cordoned"
    stage.cli("workers", "drain", worker.name)
    assert state() == "draining"
    stage.cli("workers", "resume", worker.name)
    assert state() == "active"


@scene(
    "Model.delete",
    "Models.create",
    "Models.delete",
    "Models.import_hub",
    "Models.import_package",
    "Models.import_path",
    "Models.start_import",
    "Models.upload_file",
    "models import",
    "models rm",
)
def model_imports(stage: Stage) -> None:
    models = stage.client.models
    weights = make_tiny_model(stage.tmp / stage.name("imported")) / "weights"
    made = models.create(stage.name("parts"), UploadSource())
    files = sorted(weights.iterdir())
    for file in files:
        models.upload_file(made, file.name, file)
    assert models.start_import(made).model == made.uuid
    whole = models.import_path(weights, name=stage.name("whole"))
    made = models.wait_ready(made, 300)
    assert {file.name for file in files} <= {Path(file.path).name for file in made.files()}
    made.delete()
    models.delete(whole.wait_ready(300))
    name = stage.name("again")
    stage.cli("models", "import", weights, "--name", name)
    assert models.get(name).status == "ready"
    stage.cli("models", "rm", name, "--yes")
    names = {model.name for model in models.list()}
    assert not {made.name, whole.name, name} & names
    # There is no package with weights and no model hub here: this tests only that the server
    # accepts the request.
    with stage.cordoned():
        package = models.import_package("no-such-package", name=stage.name("package"))
        hub = models.import_hub("somebody/model", name=stage.name("hub"))
        for model in (package, hub):
            assert model.task is not None
            assert stage.client.tasks.cancel(model.task).status == "cancelled"


@scene(
    "Sweep.cancel",
    "Sweep.refresh",
    "Sweep.register",
    "Sweep.wait",
    "Sweeps.cancel",
    "Sweeps.create",
    "Sweeps.get",
    "Sweeps.list",
    "Sweeps.path",
    "Sweeps.register",
    "sweep cancel",
    "sweep create",
    "sweep ls",
    "sweep register",
    "sweep show",
    "sweep watch",
)
def sweeps(stage: Stage) -> None:
    sweeps = stage.client.sweeps

    def begin(*seeds: int) -> Sweep:
        return sweeps.create(
            stage.name("sweep"),
            stage.experiment,
            {"seed": list(seeds)},
            objective="train_loss_last",
            max_trials=len(seeds),
        )

    sweep = begin(7)
    assert sweeps.list().first() == sweep
    assert sweeps.get(sweep).refresh().uuid == sweep.uuid
    assert sweeps.path(sweep.name) == sweeps.path(sweep)
    assert sweep.wait(500).status == "completed"
    assert "TRAIN_LOSS_LAST" in stage.cli("sweep", "watch", sweep.name)
    assert sweep.name in stage.cli("sweep", "ls")
    assert len(stage.told("sweep", "show", sweep.name)["trials"]) == 1
    best = sweep.register(stage.name("best"))
    assert sweeps.register(sweep, best.name).uuid == best.uuid
    assert stage.told("sweep", "register", sweep.name, best.name)["uuid"] == str(best.uuid)
    with stage.cordoned():
        assert begin(8).cancel().status == "cancelled"
        assert sweeps.cancel(begin(8)).status == "cancelled"
        begun = stage.told(
            "sweep", "create", "tiny-steps", "--name", stage.name("sweep"), "--param", "seed=9,10",
            "--objective", "train_loss_last", "--detach",
        )  # fmt: skip
        stage.cli("sweep", "cancel", begun["name"])
        assert sweeps.get(begun["uuid"]).status == "cancelled"


@scene(
    "Bundle.delete",
    "Bundle.download",
    "Scripts.bundle",
    "Scripts.bundles",
    "Scripts.get_bundle",
    "Scripts.run",
    "Task.download_artifacts",
    "scripts bundle",
    "scripts bundles",
    "scripts delete-bundle",
    "scripts rm-bundle",
    "scripts run",
)
def scripts(stage: Stage) -> None:
    scripts = stage.client.scripts
    directory = stage.file("main.py", "print('hello')\n").parent
    bundle = scripts.bundle(directory, name="code")
    assert scripts.get_bundle(bundle.uuid).sha256 == bundle.sha256
    assert bundle.download(stage.tmp / "code").stat().st_size == bundle.size
    write = 'grep hello main.py && echo a > "$AIPLATFORM_OUTPUT/a.txt"'
    task = scripts.run(["sh", "-c", write], bundle=bundle, name="script").wait(300)
    (saved,) = task.download_artifacts(stage.tmp / stage.name("artifacts"))
    assert saved.read_text() == "a\n"
    made = stage.told("scripts", "bundle", "--directory", stage.file("b.py", "print(2)").parent)
    other = stage.told("scripts", "bundle", "--directory", stage.file("c.py", "print(3)").parent)
    listed = {found["uuid"] for found in stage.told("scripts", "bundles")}
    assert {str(bundle.uuid), made["uuid"], other["uuid"]} <= listed
    assert "hello" in stage.cli("scripts", "run", "--bundle", bundle.uuid, "--", "cat", "main.py")
    stage.cli("scripts", "rm-bundle", made["uuid"], "--yes")
    stage.cli("scripts", "delete-bundle", other["uuid"], "--yes")
    bundle.delete()
    left = {str(found.uuid) for found in scripts.bundles()}
    assert not {str(bundle.uuid), made["uuid"], other["uuid"]} & left


@scene(
    "ChatStream.close",
    "Deployment.chat",
    "Deployment.delete",
    "Deployment.refresh",
    "Deployment.restart",
    "Deployment.start",
    "Deployment.stop",
    "Deployment.update",
    "Deployment.wait_ready",
    "Deployment.wait_stopped",
    "Deployment.wait_updated",
    "Deployments.chat",
    "Deployments.find",
    "Deployments.get",
    "Deployments.list",
    "Deployments.path",
    "Deployments.resolve",
    "Deployments.restart",
    "Deployments.start",
    "Deployments.stop",
    "Deployments.update",
    "Deployments.wait_ready",
    "Deployments.wait_stopped",
    "Deployments.wait_updated",
    "chat",
    "deploy update",
)
def deployments(stage: Stage) -> None:
    deployments, model = stage.client.deployments, stage.tuned
    served = deployments.create(stage.name("answers"), model).wait_ready(300)
    name = served.name
    assert deployments.wait_ready(served).uuid == served.uuid
    assert served.uuid in [found.uuid for found in deployments.list()]
    assert deployments.get(name).refresh().status == "ready"
    found = deployments.find(name)
    assert found is not None
    assert found.uuid == deployments.resolve(name) == served.uuid
    assert deployments.path(name) == deployments.path(served)
    question = [{"role": "user", "content": "Who are you?"}]
    reply = served.chat(question, max_tokens=2, temperature=0)
    stream = deployments.chat(name, question, max_tokens=2, temperature=0, stream=True)
    assert "".join(stream) == reply.text
    stream.close()
    said = stage.cli("chat", name, "Who are you?", "--max-tokens", "2", "--temperature", "0")
    assert said.strip() == reply.text.strip()
    deployments.update(served, stage.model)
    assert deployments.wait_updated(served, 300).model == stage.model.uuid
    assert served.wait_updated().model == stage.model.uuid
    stage.cli("deploy", "update", name, model.reference)
    assert served.refresh().model == model.uuid
    updating = served.update(stage.model).updating
    assert updating is not None
    assert updating.model == stage.model.uuid
    assert served.stop().wait_stopped(300).status == "stopped"
    assert served.start().status != "stopped"
    assert served.restart().status != "stopped"
    deployments.stop(served)
    assert deployments.wait_stopped(served, 300).status == "stopped"
    assert deployments.start(served).status != "stopped"
    assert deployments.restart(served).status != "stopped"
    served.delete()
    assert deployments.find(name) is None


@scene(
    "Deployments.create",
    "Deployments.delete",
    "deploy create",
    "deploy ls",
    "deploy restart",
    "deploy rm",
    "deploy show",
    "deploy start",
    "deploy stop",
)
def deployments_by_commands(stage: Stage) -> None:
    deployments = stage.client.deployments
    name = stage.name("served")
    stage.cli("deploy", "create", stage.tuned.reference, "--name", name, "--detach")
    made = stage.told("deploy", "show", name)
    assert (made["name"], made["model"]) == (name, str(stage.tuned.uuid))
    assert name in [found["name"] for found in stage.told("deploy", "ls")]
    stage.cli("deploy", "restart", name, "--detach")
    assert deployments.get(name).task != made["task"]
    stage.cli("deploy", "stop", name)
    assert deployments.get(name).status == "stopped"
    stage.cli("deploy", "start", name, "--detach")
    assert deployments.get(name).status != "stopped"
    stage.cli("deploy", "rm", name, "--yes")
    assert deployments.find(name) is None
    with stage.cordoned():
        deployments.delete(deployments.create(name, stage.tuned))
        assert deployments.find(name) is None
