"""Reported runs, workers, scripts and schedules."""

from datetime import UTC, datetime, timedelta

from tests.surface.stage import Stage, scene

SOON = "0 0 1 1 *"


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
