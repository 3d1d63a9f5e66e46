"""Scenarios for models, experiments, runs, tasks, sweeps, schedules, scripts and deployments."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import yaml

from aiplatform.client import Sweep, Task
from aiplatform.protocol.model_sources import UploadSource
from tests.surface.live_platform import LivePlatform, scenario
from tests.tiny_model import make_tiny_model

SOON = "0 0 1 1 *"


@scenario(
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
def models(live: LivePlatform) -> None:
    models, tuned = live.client.models, live.tuned
    uuids = [model.uuid for model in models.list()]
    assert {tuned.uuid, live.model.uuid} <= set(uuids)
    assert tuned.uuid in [model.uuid for model in models.list_all()]
    assert models.get(tuned).refresh().status == "ready"
    assert models.resolve("tiny") == live.model.uuid
    assert tuned.reference == f"tuned@{tuned.version}"
    assert tuned.wait_ready().uuid == models.wait_ready(tuned).uuid == tuned.uuid
    paths = {file.path for file in tuned.files()}
    assert paths == {file.path for file in models.files(tuned)}
    assert tuned.lineage() == models.lineage(tuned)
    assert "tiny" in str(tuned.lineage())
    for saved in (
        tuned.download(live.tmp / "weights"),
        models.download(tuned, live.tmp / "weights2"),
    ):
        assert paths <= {str(path.relative_to(saved)) for path in saved.rglob("*")}
    done = models.evaluate(tuned, live.held_out, max_rows=2, answers=0).wait(400)
    assert done.result is not None
    with live.cordoned():
        task = tuned.evaluate(live.held_out.uuid, max_rows=2, answers=0).cancel()
        assert task.status == "cancelled"
        queued = live.cli_json("evaluate", tuned.reference, "--dataset", "held-out", "--detach")
        live.client.tasks.cancel(queued["uuid"])
    assert "tuned" in [model["name"] for model in live.cli_json("models", "ls")]
    assert live.cli_json("models", "show", tuned.reference)["uuid"] == str(tuned.uuid)
    assert {file["path"] for file in live.cli_json("models", "files", tuned.reference)} == paths
    live.cli("models", "download", tuned.reference, "--output", live.tmp / "weights3")
    assert any((live.tmp / "weights3").rglob(min(paths)))


@scenario(
    "Deployments.serving",
    "Model.set_alias",
    "ModelAlias.reference",
    "Models.alias_moves",
    "Models.aliases",
    "Models.delete_alias",
    "Models.set_alias",
    "Models.undo_alias",
    "models alias history",
    "models alias ls",
    "models alias rm",
    "models alias set",
    "models alias undo",
)
def model_aliases(live: LivePlatform) -> None:
    models, name = live.client.models, live.name("aliased")
    weights = make_tiny_model(live.tmp / name) / "weights"
    first, second = (models.import_path(weights, name=name).wait_ready(300) for _ in range(2))
    alias = first.set_alias("production", reason="The first one.")
    assert alias.reference == f"{name}@production"
    assert models.resolve(alias.reference) == first.uuid
    models.set_alias(second, "production", reason="Better.", expected=first)
    assert models.get(alias.reference).version == "2"
    assert [each.version for each in models.aliases(name)] == ["2"]
    assert alias.reference in [each.reference for each in models.aliases()]
    assert models.undo_alias(name, "production", reason="Slower.").version == "1"
    moves = models.alias_moves(name, "production").all()
    assert [(move.from_version, move.to_version) for move in moves] == [
        ("2", "1"), ("1", "2"), (None, "1"),
    ]  # fmt: skip
    deployed = live.client.deployments.create(name, alias.reference, follow=True).wait_ready(300)
    assert (deployed.follows, deployed.model) == (alias.reference, first.uuid)
    models.set_alias(second, "production", reason="Better.")
    assert deployed.wait_updated(300).model == second.uuid
    assert live.client.deployments.serving(alias.reference).uuid == deployed.uuid
    assert live.cli_json("chat", alias.reference, "Who are you?", "--max-tokens", "2")
    live.client.deployments.delete(deployed)
    models.undo_alias(name, "production")
    models.delete_alias(name, "production", reason="Unused.")
    assert models.aliases(name).all() == []
    made = live.cli_json("models", "alias", "undo", alias.reference, "--reason", "Used after all.")
    assert made["version"] == "1"
    reason = ("--reason", "Again.")
    live.cli("models", "alias", "set", second.reference, "production", *reason)
    assert "Again." in live.cli("models", "alias", "history", alias.reference)
    assert name in [each["model_name"] for each in live.cli_json("models", "alias", "ls", name)]
    live.cli("models", "alias", "rm", alias.reference, "--yes")
    assert live.cli_json("models", "alias", "ls", name) == []


@scenario(
    "Estimate.wait",
    "Estimates.create",
    "Estimates.get",
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
def experiments(live: LivePlatform) -> None:
    experiments, made = live.client.experiments, live.experiment
    assert live.training.status == "completed"
    assert made.uuid in [found.uuid for found in experiments.list()]
    assert experiments.get("tiny-steps").uuid == experiments.resolve("tiny-steps") == made.uuid
    assert experiments.path("tiny-steps") == experiments.path(made)
    spec = experiments.spec(base_model=live.model, dataset=live.dataset, max_steps=2)
    assert spec.max_steps == 2
    assert live.training.uuid in [run.uuid for run in made.runs()]
    assert live.training.uuid in [run.uuid for run in experiments.runs(made)]
    copy = made.clone(live.name("copy"))
    assert copy.cloned_from == made.uuid
    copy = copy.update(description="A copy.").archive()
    assert copy.archived_at is not None
    copy = copy.unarchive()
    assert (copy.archived_at, copy.description) == (None, "A copy.")
    assert experiments.update(copy, description="Another.").description == "Another."
    estimate = live.client.estimates.create(spec).wait(200)
    assert estimate.result is not None
    assert (estimate.result.steps.total, estimate.result.seconds.source) == (2, "history")
    assert live.client.estimates.get(estimate.uuid).result == estimate.result
    experiments.create(gone := live.name("new"), spec).delete()
    experiments.delete(experiments.clone(made, other := live.name("copy")))
    assert not {gone, other} & {found.name for found in experiments.list()}
    with live.cordoned():
        assert copy.run().cancel().experiment == copy.uuid
        assert experiments.run(copy).cancel().status == "cancelled"


@scenario(
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
def experiments_by_commands(live: LivePlatform) -> None:
    first = str(live.training.uuid)
    name = live.name("written")
    spec = live.file("spec.yaml", yaml.safe_dump({
        "base_model": "tiny", "dataset": "questions", "max_steps": 2, "batch_size": 2,
    }))  # fmt: skip
    live.cli("experiments", "create", name, "--spec", spec)
    live.cli("experiments", "tag", name, "--add", "x")
    live.cli("experiments", "note", name, "--file", live.file("note.md", "A note."))
    shown = live.cli_json("experiments", "show", name)
    assert (shown["tags"], shown["note"]) == (["x"], "A note.")
    assert shown["config"]["max_steps"] == 2
    live.cli("experiments", "archive", name)
    copy = f"{name}x"
    live.cli("experiments", "clone", "tiny-steps", "--name", copy)
    listed = {found["name"] for found in live.cli_json("experiments", "ls")}
    assert copy in listed
    assert name not in listed
    compared = live.cli_json("experiments", "compare", "tiny-steps", copy)
    assert [item["name"] for item in compared["items"]] == ["tiny-steps", copy]
    assert "loss" in live.cli("experiments", "compare-metrics", "tiny-steps", "--key", "loss")
    assert first in [run["uuid"] for run in live.cli_json("experiments", "runs", "tiny-steps")]
    with live.cordoned():
        run = live.cli_json("experiments", "run", copy, "--detach")
        live.cli("tasks", "cancel", run["uuid"], "--wait")
        trained = live.cli_json(
            "train", "-m", "tiny", "-d", "questions", "--name", live.name("trained"),
            "--max-steps", "1", "--detach",
        )  # fmt: skip
        live.cli("tasks", "cancel", trained["uuid"])
    for task in (run, trained):
        assert live.client.tasks.get(task["uuid"]).status == "cancelled"
    live.cli("experiments", "rm", copy, "--yes")
    assert copy not in [found.name for found in live.client.experiments.list()]


@scenario(
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
def runs(live: LivePlatform) -> None:
    runs, first = live.client.runs, live.training
    name, uuid = first.name, str(first.uuid)
    (found,) = [run for run in runs.list() if run.uuid == first.uuid]
    assert found.task().uuid == runs.get(first).uuid == first.uuid
    assert runs.path(first).endswith(uuid)
    with live.cordoned():
        assert runs.get(first).rerun().cancel().experiment == first.experiment
        assert runs.rerun(first).cancel().status == "cancelled"
        again = live.cli_json("runs", "rerun", uuid, "--detach")
        assert live.client.tasks.cancel(again["uuid"]).status == "cancelled"
    comparison = runs.compare([first, first])
    assert "loss" in comparison.series
    assert comparison.curve("loss")[name]
    assert uuid in [run["uuid"] for run in live.cli_json("runs", "ls")]
    assert live.cli_json("runs", "show", uuid)["name"] == name
    compared = live.cli_json("runs", "compare", uuid, uuid)
    assert [item["uuid"] for item in compared["items"]] == [uuid, uuid]
    (line,) = live.client.metrics.compare("loss", tasks=[first])["loss"]
    assert (line.task, line.total) == (first.uuid, 2)
    (summary,) = live.client.metrics.summaries(tasks=[first])
    assert "loss" in summary.metrics
    assert "loss" in live.cli("tasks", "compare", uuid, uuid, "--key", "loss")


@scenario(
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
def reported_runs(live: LivePlatform) -> None:
    directory = live.tmp / "runs"
    file = live.file("plot.txt", "a plot")
    with live.client.run("reported", directory=directory) as run:
        run.log({"loss": 1.0})
        run.write("a line")
        run.log_artifact(file)
        run.set_progress(0.5)
        assert not run.cancelled
        assert run.task is not None
        assert run.end()
    for name in ("kept", "kept too"):
        with live.client.external.begin(name, mode="offline", directory=directory) as run:
            run.log({"loss": 1.0})
    first, _ = live.client.external.unsent(directory)
    assert live.client.external.sync(first).complete
    live.cli("runs", "unsent")
    live.cli("runs", "sync")


@scenario(
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
def tasks(live: LivePlatform) -> None:
    tasks, first = live.client.tasks, live.training
    assert first.uuid in [task.uuid for task in tasks.list()]
    assert tasks.get(first).refresh().status == "completed"
    assert tasks.path(first).endswith(str(first.uuid))
    assert tasks.resolve(str(first.uuid)[:13]) == first.uuid
    assert tasks.wait(first).uuid == first.wait().uuid == first.uuid
    assert [event.kind for event in first.watch()][-1] == "end"
    assert [event.kind for event in tasks.watch(first)][-1] == "end"
    text = "".join(chunk.text for chunk in first.logs())
    assert text == "".join(chunk.text for chunk in tasks.logs(first))
    assert tasks.download_log(first, live.tmp / "log.txt").stat().st_size > 0
    assert tasks.search_logs(first, text.split()[-1]).first() is not None
    assert [point.step for point in first.metrics("loss")["loss"]] == [1, 2]
    assert tasks.metrics(first, "loss") == first.metrics("loss")
    assert tasks.telemetry(first).series is not None
    assert tasks.usage(first)
    assert [entry.kind for entry in tasks.timeline(first)]
    task = live.parked()
    assert task.pause().resume().set_priority(6).priority == 6
    assert task.move().uuid == task.uuid
    assert task.cancel().status == "cancelled"
    again = task.retry()
    assert again.retry_of == task.uuid
    again.cancel()
    task = live.parked()
    assert tasks.pause(task).status == "paused"
    assert tasks.resume(task).status == "pending"
    assert tasks.set_priority(task, 6).priority == 6
    assert tasks.move(task).uuid == task.uuid
    assert tasks.cancel(task).status == "cancelled"
    again = tasks.retry(task)
    assert again.retry_of == task.uuid
    assert tasks.cancel(again).status == "cancelled"
    assert tasks.needs([first], [])
    spec = {"type": "data_quality", "dataset": {"dataset": str(live.held_out.uuid)}}
    (batched,) = tasks.submit_batch([{"name": "batched", "spec": spec}])
    assert batched.wait(300).status == "completed"


@scenario(
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
def tasks_by_commands(live: LivePlatform) -> None:
    first = str(live.training.uuid)
    assert first in [task["uuid"] for task in live.cli_json("tasks", "ls", "-n", "200")]
    assert live.cli_json("tasks", "show", first)["status"] == "completed"
    live.cli("tasks", "watch", first)
    assert live.cli("tasks", "logs", first)
    assert "loss" in live.cli("tasks", "metrics", first)
    assert live.cli("tasks", "telemetry", first)
    assert live.cli_json("tasks", "timeline", first)
    assert live.cli_json("tasks", "artifacts", first) == [
        artifact.model_dump(mode="json") for artifact in live.training.artifacts()
    ]
    spec = live.file("task.yaml", yaml.safe_dump({
        "type": "data_quality", "dataset": {"dataset": str(live.held_out.uuid)},
    }))  # fmt: skip
    made = live.cli_json(
        "tasks", "submit", spec, "--name", live.name("parked"), "--after", live.endless.uuid
    )["uuid"]

    def task() -> Task:
        return live.client.tasks.get(made)

    live.cli("tasks", "priority", made, "6")
    assert task().priority == 6
    live.cli("tasks", "next", made)
    live.cli("tasks", "pause", made)
    assert task().status == "paused"
    live.cli("tasks", "resume", made)
    assert task().status == "pending"
    live.cli("tasks", "cancel", made)
    assert task().status == "cancelled"
    again = live.cli_json("tasks", "retry", made)
    assert again["retry_of"] == made
    live.client.tasks.cancel(again["uuid"])


@scenario(
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
def schedules(live: LivePlatform) -> None:
    schedules = live.client.schedules
    made = schedules.create(live.name("yearly"), SOON, experiment=live.experiment)
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
    other = schedules.create(live.name("yearly"), SOON, experiment=live.experiment)
    schedules.delete(other)
    assert not {made.uuid, other.uuid} & {found.uuid for found in schedules.list()}
    name = live.name("yearly")
    live.cli("schedules", "create", name, SOON, "--experiment", "tiny-steps")
    live.cli("schedules", "disable", name)
    assert live.cli_json("schedules", "show", name)["enabled"] is False
    live.cli("schedules", "enable", name)
    assert name in [found["name"] for found in live.cli_json("schedules", "ls")]
    assert live.cli_json("schedules", "firings", name) == []
    live.cli("schedules", "rm", name, "--yes")
    assert name not in [found.name for found in schedules.list()]


@scenario(
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
def workers(live: LivePlatform) -> None:
    workers = live.client.workers
    worker = next(found for found in workers.list() if found.alive)
    assert worker.devices_free >= 0
    assert workers.get(worker.name).uuid == worker.uuid
    assert workers.path(worker.name) == workers.path(worker)
    since = datetime.now(UTC) - timedelta(hours=1)
    assert workers.telemetry(worker, since=since).series is not None
    assert workers.cordon(worker).state == "cordoned"
    assert workers.drain(worker).state == "draining"
    assert workers.resume(worker).state == "active"
    assert worker.name in [found["name"] for found in live.cli_json("workers", "ls")]

    def state() -> str:
        return str(live.cli_json("workers", "show", worker.name)["state"])

    live.cli("workers", "cordon", worker.name)
    assert state() == "cordoned"
    live.cli("workers", "drain", worker.name)
    assert state() == "draining"
    live.cli("workers", "resume", worker.name)
    assert state() == "active"


@scenario(
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
def model_imports(live: LivePlatform) -> None:
    models = live.client.models
    weights = make_tiny_model(live.tmp / live.name("imported")) / "weights"
    made = models.create(live.name("parts"), UploadSource())
    files = sorted(weights.iterdir())
    for file in files:
        models.upload_file(made, file.name, file)
    assert models.start_import(made).model == made.uuid
    whole = models.import_path(weights, name=live.name("whole"))
    made = models.wait_ready(made, 300)
    assert {file.name for file in files} <= {Path(file.path).name for file in made.files()}
    made.delete()
    models.delete(whole.wait_ready(300))
    name = live.name("again")
    live.cli("models", "import", weights, "--name", name)
    assert models.get(name).status == "ready"
    live.cli("models", "rm", name, "--yes")
    names = {model.name for model in models.list()}
    assert not {made.name, whole.name, name} & names
    # There is neither a package with weights nor a model hub here, so this tests only that the
    # server accepts the request.
    with live.cordoned():
        package = models.import_package("no-such-package", name=live.name("package"))
        hub = models.import_hub("somebody/model", name=live.name("hub"))
        for model in (package, hub):
            assert model.task is not None
            assert live.client.tasks.cancel(model.task).status == "cancelled"


@scenario(
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
def sweeps(live: LivePlatform) -> None:
    sweeps = live.client.sweeps

    def begin(*seeds: int) -> Sweep:
        return sweeps.create(
            live.name("sweep"),
            live.experiment,
            {"seed": list(seeds)},
            objective="train_loss_last",
            max_trials=len(seeds),
        )

    sweep = begin(7)
    assert sweeps.list().first() == sweep
    assert sweeps.get(sweep).refresh().uuid == sweep.uuid
    assert sweeps.path(sweep.name) == sweeps.path(sweep)
    assert sweep.wait(500).status == "completed"
    assert "TRAIN_LOSS_LAST" in live.cli("sweep", "watch", sweep.name)
    assert sweep.name in live.cli("sweep", "ls")
    assert len(live.cli_json("sweep", "show", sweep.name)["trials"]) == 1
    best = sweep.register(live.name("best"))
    assert sweeps.register(sweep, best.name).uuid == best.uuid
    assert live.cli_json("sweep", "register", sweep.name, best.name)["uuid"] == str(best.uuid)
    with live.cordoned():
        assert begin(8).cancel().status == "cancelled"
        assert sweeps.cancel(begin(8)).status == "cancelled"
        begun = live.cli_json(
            "sweep", "create", "tiny-steps", "--name", live.name("sweep"), "--param", "seed=9,10",
            "--objective", "train_loss_last", "--detach",
        )  # fmt: skip
        live.cli("sweep", "cancel", begun["name"])
        assert sweeps.get(begun["uuid"]).status == "cancelled"


@scenario(
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
def scripts(live: LivePlatform) -> None:
    scripts = live.client.scripts
    directory = live.file("main.py", "print('hello')\n").parent
    bundle = scripts.bundle(directory, name="code")
    assert scripts.get_bundle(bundle.uuid).sha256 == bundle.sha256
    assert bundle.download(live.tmp / "code").stat().st_size == bundle.size
    write = 'grep hello main.py && echo a > "$AIPLATFORM_OUTPUT/a.txt"'
    task = scripts.run(["sh", "-c", write], bundle=bundle, name="script").wait(300)
    (saved,) = task.download_artifacts(live.tmp / live.name("artifacts"))
    assert saved.read_text() == "a\n"
    made = live.cli_json("scripts", "bundle", "--directory", live.file("b.py", "print(2)").parent)
    other = live.cli_json("scripts", "bundle", "--directory", live.file("c.py", "print(3)").parent)
    listed = {found["uuid"] for found in live.cli_json("scripts", "bundles")}
    assert {str(bundle.uuid), made["uuid"], other["uuid"]} <= listed
    assert "hello" in live.cli("scripts", "run", "--bundle", bundle.uuid, "--", "cat", "main.py")
    live.cli("scripts", "rm-bundle", made["uuid"], "--yes")
    live.cli("scripts", "delete-bundle", other["uuid"], "--yes")
    bundle.delete()
    left = {str(found.uuid) for found in scripts.bundles()}
    assert not {str(bundle.uuid), made["uuid"], other["uuid"]} & left


@scenario(
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
def deployments(live: LivePlatform) -> None:
    deployments, model = live.client.deployments, live.tuned
    served = deployments.create(live.name("answers"), model).wait_ready(300)
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
    said = live.cli("chat", name, "Who are you?", "--max-tokens", "2", "--temperature", "0")
    assert said.strip() == reply.text.strip()
    deployments.update(served, live.model)
    assert deployments.wait_updated(served, 300).model == live.model.uuid
    assert served.wait_updated().model == live.model.uuid
    live.cli("deploy", "update", name, model.reference)
    assert served.refresh().model == model.uuid
    updating = served.update(live.model).updating
    assert updating is not None
    assert updating.model == live.model.uuid
    assert served.stop().wait_stopped(300).status == "stopped"
    assert served.start().status != "stopped"
    assert served.restart().status != "stopped"
    deployments.stop(served)
    assert deployments.wait_stopped(served, 300).status == "stopped"
    assert deployments.start(served).status != "stopped"
    assert deployments.restart(served).status != "stopped"
    served.delete()
    assert deployments.find(name) is None


@scenario(
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
def deployments_by_commands(live: LivePlatform) -> None:
    deployments = live.client.deployments
    name = live.name("served")
    live.cli("deploy", "create", live.tuned.reference, "--name", name, "--detach")
    made = live.cli_json("deploy", "show", name)
    assert (made["name"], made["model"]) == (name, str(live.tuned.uuid))
    assert name in [found["name"] for found in live.cli_json("deploy", "ls")]
    live.cli("deploy", "restart", name, "--detach")
    assert deployments.get(name).task != made["task"]
    live.cli("deploy", "stop", name)
    assert deployments.get(name).status == "stopped"
    live.cli("deploy", "start", name, "--detach")
    assert deployments.get(name).status != "stopped"
    live.cli("deploy", "rm", name, "--yes")
    assert deployments.find(name) is None
    with live.cordoned():
        deployments.delete(deployments.create(name, live.tuned))
        assert deployments.find(name) is None
