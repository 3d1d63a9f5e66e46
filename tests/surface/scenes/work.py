"""Models, experiments, runs, tasks, sweeps, schedules, scripts, deployments, workers."""

from datetime import UTC, datetime, timedelta

import yaml

from aiplatform.client import Sweep
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
    assert models.list().first() is not None
    models.list_all().first()
    models.get(tuned).refresh()
    models.resolve("tiny")
    assert tuned.reference
    tuned.wait_ready()
    models.wait_ready(tuned)
    assert tuned.files().first() is not None
    models.files(tuned).first()
    tuned.lineage()
    models.lineage(tuned)
    tuned.download(stage.tmp / "weights")
    models.download(tuned, stage.tmp / "weights2")
    models.evaluate(tuned, stage.held_out, max_rows=2, answers=0).wait(400)
    tuned.evaluate(stage.held_out.uuid, max_rows=2, answers=0).cancel()
    stage.cli("models", "ls")
    stage.cli("models", "show", "tuned")
    stage.cli("models", "files", "tuned")
    stage.cli("models", "download", "tuned", "--output", stage.tmp / "weights3")
    stage.cli("evaluate", "tuned", "--dataset", "held-out", "--detach")


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
def experiments(stage: Stage) -> None:
    experiments, made = stage.client.experiments, stage.experiment
    assert stage.training.status == "completed"
    assert experiments.list().first() is not None
    experiments.get("tiny-steps")
    experiments.resolve("tiny-steps")
    experiments.path("tiny-steps")
    experiments.spec(base_model=stage.model, dataset=stage.dataset, max_steps=2)
    assert made.runs().first() is not None
    experiments.runs(made).first()
    copy = made.clone(stage.name("copy"))
    copy = copy.update(description="A copy.").archive().unarchive()
    experiments.update(copy, description="Another copy.")
    experiments.clone(made, stage.name("copy")).delete()
    copy.run().cancel()
    experiments.run(copy).cancel()
    name = stage.name("written")
    spec = stage.file("spec.yaml", yaml.safe_dump({
        "base_model": "tiny", "dataset": "questions", "max_steps": 2, "batch_size": 2,
    }))  # fmt: skip
    stage.cli("experiments", "create", name, "--spec", spec)
    stage.cli("experiments", "ls")
    stage.cli("experiments", "show", name)
    stage.cli("experiments", "tag", name, "--add", "x")
    stage.cli("experiments", "note", name, "--file", stage.file("note.md", "A note."))
    stage.cli("experiments", "archive", name)
    stage.cli("experiments", "clone", "tiny-steps", "--name", f"{name}x")
    stage.cli("experiments", "compare", "tiny-steps", f"{name}x")
    stage.cli("experiments", "compare-metrics", "tiny-steps", "--key", "loss")
    stage.cli("experiments", "runs", "tiny-steps")
    run = stage.told("experiments", "run", f"{name}x", "--detach")
    stage.cli("tasks", "cancel", run["uuid"], "--wait")
    stage.cli("experiments", "rm", f"{name}x", "--yes")
    unused = experiments.clone(made, stage.name("copy"))
    experiments.delete(unused)
    trained = stage.told(
        "train", "-m", "tiny", "-d", "questions", "--name", stage.name("trained"),
        "--max-steps", "1", "--detach",
    )  # fmt: skip
    stage.cli("tasks", "cancel", trained["uuid"])


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
    found = runs.list().first()
    assert found is not None
    found.task()
    runs.get(first)
    runs.path(first)
    runs.get(first).rerun().cancel()
    runs.rerun(first).cancel()
    comparison = runs.compare([first, first])
    comparison.curve("loss")
    stage.cli("runs", "ls")
    stage.cli("runs", "show", first.uuid)
    stage.cli("runs", "compare", first.uuid, first.uuid)
    again = stage.told("runs", "rerun", first.uuid, "--detach")
    stage.client.tasks.cancel(again["uuid"])
    stage.client.metrics.compare("loss", tasks=[first])
    stage.client.metrics.summaries(tasks=[first])
    stage.cli("tasks", "compare", first.uuid, first.uuid, "--key", "loss")


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
    assert tasks.list().first() is not None
    tasks.get(first).refresh()
    tasks.path(first)
    tasks.resolve(first)
    tasks.wait(first)
    first.wait()
    assert [event.kind for event in first.watch()][-1] == "end"
    assert [event.kind for event in tasks.watch(first)][-1] == "end"
    next(first.logs())
    next(tasks.logs(first))
    tasks.search_logs(first, "a").first()
    tasks.download_log(first, stage.tmp / "log.txt")
    assert first.metrics("loss")
    tasks.metrics(first, "loss")
    tasks.telemetry(first)
    tasks.usage(first)
    assert tasks.timeline(first).first() is not None
    task = stage.parked()
    task.pause()
    task.resume()
    task.set_priority(6)
    task.move()
    task.cancel()
    task.retry().cancel()
    task = stage.parked()
    tasks.pause(task)
    tasks.resume(task)
    tasks.set_priority(task, 6)
    tasks.move(task)
    tasks.cancel(task)
    tasks.cancel(tasks.retry(task))
    tasks.needs([first], [])
    spec = {"type": "data_quality", "dataset": {"dataset": str(stage.held_out.uuid)}}
    tasks.submit_batch([{"name": "batched", "spec": spec}])[0].wait(300)


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
    first = stage.training.uuid
    stage.cli("tasks", "ls")
    stage.cli("tasks", "show", first)
    stage.cli("tasks", "watch", first)
    stage.cli("tasks", "logs", first)
    stage.cli("tasks", "metrics", first)
    stage.cli("tasks", "telemetry", first)
    stage.cli("tasks", "timeline", first)
    stage.cli("tasks", "artifacts", first)
    spec = stage.file("task.yaml", yaml.safe_dump({
        "type": "data_quality", "dataset": {"dataset": str(stage.held_out.uuid)},
    }))  # fmt: skip
    made = stage.told(
        "tasks", "submit", spec, "--name", stage.name("parked"), "--after", stage.endless.uuid
    )["uuid"]
    stage.cli("tasks", "priority", made, "6")
    stage.cli("tasks", "next", made)
    stage.cli("tasks", "pause", made)
    stage.cli("tasks", "resume", made)
    stage.cli("tasks", "cancel", made)
    stage.cli("tasks", "retry", made)
    for task in stage.client.tasks.list(status="pending"):
        task.cancel()


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
    assert schedules.list().first() is not None
    schedules.get(made)
    schedules.path(made)
    made = made.disable().enable().update(cron="0 0 2 1 *")
    schedules.update(made, cron=SOON)
    made.firings().all()
    schedules.firings(made).all()
    made.delete()
    schedules.delete(schedules.create(stage.name("yearly"), SOON, experiment=stage.experiment))
    name = stage.name("yearly")
    stage.cli("schedules", "create", name, SOON, "--experiment", "tiny-steps")
    stage.cli("schedules", "ls")
    stage.cli("schedules", "show", name)
    stage.cli("schedules", "disable", name)
    stage.cli("schedules", "enable", name)
    stage.cli("schedules", "firings", name)
    stage.cli("schedules", "rm", name, "--yes")


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
    worker = workers.list().first()
    assert worker is not None
    assert worker.devices_free >= 0
    workers.get(worker.name)
    workers.path(worker)
    since = datetime.now(UTC) - timedelta(hours=1)
    workers.telemetry(worker, since=since)
    workers.cordon(worker)
    workers.drain(worker)
    workers.resume(worker)
    stage.cli("workers", "ls")
    stage.cli("workers", "show", worker.name)
    stage.cli("workers", "cordon", worker.name)
    stage.cli("workers", "drain", worker.name)
    stage.cli("workers", "resume", worker.name)


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
    weights = make_tiny_model(stage.tmp / "imported") / "weights"
    made = models.create(stage.name("parts"), UploadSource())
    for file in weights.iterdir():
        models.upload_file(made, file.name, file)
    models.start_import(made)
    models.wait_ready(made, 300).delete()
    whole = models.import_path(weights, name=stage.name("whole")).wait_ready(300)
    models.delete(whole)
    name = stage.name("again")
    stage.cli("models", "import", weights, "--name", name)
    stage.cli("models", "rm", name, "--yes")
    # No package with weights and no hub is here: only whether the server takes the order is asked.
    with stage.cordoned():
        package = models.import_package("no-such-package", name=stage.name("package"))
        hub = models.import_hub("somebody/model", name=stage.name("hub"))
        for model in (package, hub):
            assert model.task is not None
            stage.client.tasks.cancel(model.task)


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
    assert scripts.bundles().first() is not None
    scripts.get_bundle(bundle.uuid)
    bundle.download(stage.tmp / "code")
    write = 'echo a > "$AIPLATFORM_OUTPUT/a.txt"'
    task = scripts.run(["sh", "-c", write], bundle=bundle, name="script").wait(300)
    (saved,) = task.download_artifacts(stage.tmp / "artifacts")
    assert saved.read_text() == "a\n"
    made = stage.told("scripts", "bundle", "--directory", stage.file("b.py", "print(2)").parent)
    other = stage.told("scripts", "bundle", "--directory", stage.file("c.py", "print(3)").parent)
    stage.cli("scripts", "bundles")
    stage.cli("scripts", "run", "--bundle", bundle.uuid, "--", "true")
    stage.cli("scripts", "rm-bundle", made["uuid"], "--yes")
    stage.cli("scripts", "delete-bundle", other["uuid"], "--yes")
    bundle.delete()


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
    "Deployments.create",
    "Deployments.delete",
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
    "deploy create",
    "deploy ls",
    "deploy restart",
    "deploy rm",
    "deploy show",
    "deploy start",
    "deploy stop",
    "deploy update",
)
def deployments(stage: Stage) -> None:
    deployments, model = stage.client.deployments, stage.tuned
    served = deployments.create("answers", model).wait_ready(300)
    question = [{"role": "user", "content": "Who are you?"}]
    assert deployments.list().first() is not None
    deployments.get("answers").refresh()
    deployments.find("answers")
    deployments.resolve("answers")
    deployments.path("answers")
    served.chat(question, max_tokens=2)
    stream = deployments.chat("answers", question, max_tokens=2, stream=True)
    list(stream)
    stream.close()
    stage.cli("chat", "answers", "Who are you?", "--max-tokens", "2")
    stage.cli("deploy", "ls")
    stage.cli("deploy", "show", "answers")
    deployments.update(served, stage.model)
    deployments.wait_updated(served, 300)
    served.update(model).wait_updated(300)
    stage.cli("deploy", "update", "answers", "tiny")
    served.restart()
    served.stop().wait_stopped(300)
    served.start()
    deployments.restart(served)
    deployments.stop(served)
    deployments.wait_stopped(served, 300)
    deployments.start(served)
    deployments.wait_ready(served, 300)
    served.delete()
    other = stage.name("served")
    stage.cli("deploy", "create", "tuned", "--name", other, "--no-wait")
    stage.cli("deploy", "restart", other, "--no-wait")
    stage.cli("deploy", "stop", other)
    stage.cli("deploy", "start", other, "--no-wait")
    stage.cli("deploy", "rm", other, "--yes")
    deployments.delete(deployments.create(other, model))
