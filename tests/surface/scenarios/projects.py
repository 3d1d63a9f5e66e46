"""Scenarios for projects, members, quotas, the bin, the audit trail, notifications and webhooks."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable

from aiplatform.client.projects import ProjectInvitation
from tests.server.notifications.receiver import receiving
from tests.surface.live_platform import LivePlatform, scenario


@scenario(
    "Bin.projects",
    "Project.archive",
    "Project.delete",
    "Project.unarchive",
    "Project.update",
    "Project.usage",
    "Projects.archive",
    "Projects.create",
    "Projects.delete",
    "Projects.get_or_create",
    "Projects.retention",
    "Projects.set_quota",
    "Projects.unarchive",
    "Projects.update",
    "Projects.usage",
    "projects archive",
    "projects create",
    "projects ls",
    "projects quota",
    "projects restore",
    "projects retention",
    "projects rm",
    "projects show",
    "projects unarchive",
    "projects update",
    "projects usage",
)
def projects(live: LivePlatform) -> None:
    projects = live.client.projects
    name = live.name("project")

    def exists(of: str) -> bool:
        return of in [project.name for project in projects.list()]

    made = projects.create(name, tags=["a"])
    assert projects.get_or_create(name).uuid == projects.get(name).uuid == made.uuid
    assert projects.resolve(name) == made.uuid
    assert projects.path(name) == projects.path(made)
    assert exists(name)
    made = made.update(description="Ours.")
    assert made.description == "Ours."
    assert projects.update(name, description="All of ours.").description == "All of ours."
    assert made.archive().status == "archived"
    assert projects.unarchive(name).status == "active"
    assert projects.archive(name).status == "archived"
    assert made.unarchive().status == "active"
    assert made.usage() == projects.usage(name)
    assert projects.retention(name)
    assert projects.set_quota(name, concurrent_tasks=4)
    projects.delete(name)
    assert not exists(name)
    projects.create(name).delete()
    assert not exists(name)
    other = live.name("project")
    live.cli("projects", "create", other)
    assert other in [project["name"] for project in live.cli_json("projects", "ls")]
    live.cli("projects", "update", other, "--description", "Theirs.")
    assert live.cli_json("projects", "show", other)["description"] == "Theirs."
    live.cli("projects", "archive", other, "--yes")
    assert projects.get(other).status == "archived"
    live.cli("projects", "unarchive", other)
    assert projects.get(other).status == "active"
    assert live.cli_json("projects", "usage", other)
    assert live.cli_json("projects", "quota", other, "--tasks", "4")
    assert live.cli_json("projects", "retention", other)
    live.cli("projects", "rm", other, "--yes")
    assert not exists(other)
    live.cli("projects", "restore", other)
    assert exists(other)


@scenario(
    "Projects.access",
    "Projects.leave",
    "Projects.members",
    "Projects.remove_member",
    "Projects.set_member",
    "Projects.transfer",
    "Users.create",
    "projects access",
    "projects grant",
    "projects leave",
    "projects members",
    "projects revoke",
    "projects transfer",
)
def members(live: LivePlatform) -> None:
    projects = live.client.projects
    project = live.name("shared")
    projects.create(project)
    name, client = live.person()

    def role() -> str | None:
        """Return the role of the person in the project."""
        return {m.user.username: m.role for m in projects.members(project)}.get(name)

    projects.set_member(project, name, "viewer")
    assert role() == "viewer"
    assert projects.access(project, name)
    own = client.projects.access(project)
    assert "datasets:read" in {held.permission for held in own.permissions}
    client.projects.leave(project)
    assert role() is None
    projects.set_member(project, name, "viewer")
    projects.remove_member(project, name)
    assert role() is None
    live.cli("projects", "grant", project, name, "viewer")
    assert name in live.cli("projects", "members", project)
    assert live.cli_json("projects", "access", project, name)
    assert live.cli_json("projects", "access", project)["permissions"]
    live.cli("projects", "leave", project, "--yes", token=client.access_token())
    assert role() is None
    live.cli("projects", "grant", project, name, "viewer")
    live.cli("projects", "revoke", project, name)
    assert role() is None
    projects.transfer(project, name, keep_role="admin")
    owner = projects.get(project).owner
    assert owner is not None
    assert owner.username == name
    live.cli("projects", "transfer", project, "admin", "--yes")
    owner = projects.get(project).owner
    assert owner is not None
    assert owner.username == "admin"


@scenario(
    "Bin.list",
    "Bin.purge",
    "Bin.purge_project",
    "Bin.restore",
    "Bin.restore_project",
    "Datasets.delete",
    "Datasets.upload",
    "bin ls",
    "bin purge",
    "bin restore",
)
def bin_of_deleted_things(live: LivePlatform) -> None:
    client = live.client
    names = [live.name("deleted") for _ in range(4)]
    with live.cordoned():  # no quality report is needed
        for name in names:
            client.datasets.upload(name, b'{"text": "' + name.encode() + b'"}\n')
            client.datasets.delete(name)
    found = {item.name: item for item in client.bin.list()}
    client.bin.restore(found[names[0]])
    client.bin.purge(found[names[1]])
    assert names[2] in [item["name"] for item in live.cli_json("bin", "ls")]
    live.cli("bin", "restore", found[names[2]].uuid)
    live.cli("bin", "purge", found[names[3]].uuid, "--yes")
    assert [client.datasets.find(name) is not None for name in names] == [True, False] * 2
    assert not set(names) & {item.name for item in client.bin.list()}
    for name in names[:2]:
        client.projects.create(name)
        client.projects.delete(name)
    projects = {item.name: item for item in client.bin.projects()}
    client.bin.restore_project(projects[names[0]])
    client.bin.purge_project(projects[names[1]])
    assert client.projects.get(names[0]).name == names[0]
    assert not set(names) & {item.name for item in client.bin.projects()}


@scenario(
    "SavedView.delete",
    "SavedView.update",
    "Views.create",
    "Views.delete",
    "Views.get",
    "Views.list",
    "Views.path",
    "Views.update",
    "views ls",
    "views rm",
    "views save",
)
def saved_views(live: LivePlatform) -> None:
    views = live.client.views
    name = live.name("view")

    def states() -> dict[str, object]:
        return {view.name: view.state for view in views.list(page="tasks")}

    made = views.create(name, "tasks", {"status": "failed"})
    assert states()[name] == {"status": "failed"}
    assert views.get(name) == views.get(made)
    assert views.path(name) == views.path(made)
    assert made.update(state={"type": "training"}).state == {"type": "training"}
    assert views.update(name, shared=True).shared
    views.get(name).delete()
    views.delete(views.create(name, "tasks", {}))
    assert name not in states()
    live.cli("views", "save", name, "--page", "tasks", "--set", "status=failed")
    live.cli("views", "save", name, "--page", "tasks", "--set", 'columns=["name"]', "--share")
    assert states()[name] == {"columns": ["name"]}
    assert name in [view["name"] for view in live.cli_json("views", "ls", "--page", "tasks")]
    live.cli("views", "rm", name, "--yes")
    assert name not in states()


@scenario(
    "Audit.export",
    "Audit.list",
    "Audit.verification",
    "Audit.verify",
    "AuditVerification.is_intact",
    "audit export",
    "audit ls",
    "audit state",
)
def audit_trail(live: LivePlatform) -> None:
    assert live.client.audit.list(action="auth:login").first() is not None
    live.client.audit.export(trail := live.tmp / "trail.jsonl")
    assert "auth:login" in trail.read_text()
    assert len(live.cli_json("audit", "ls", "--limit", "3")) == 3
    assert live.client.audit.verify().is_intact
    assert (last := live.client.audit.verification()) is not None
    assert live.cli_json("audit", "state")["uuid"] == str(last.uuid)
    assert live.cli_json("audit", "state", "--verify")["state"] == "intact"
    live.cli("audit", "export", table := live.tmp / "trail.csv", "--csv")
    assert "auth:login" in table.read_text()


@scenario(
    "Webhook.delete",
    "Webhook.deliveries",
    "Webhook.rotate",
    "Webhook.test",
    "Webhook.update",
    "Webhooks.create",
    "Webhooks.delete",
    "Webhooks.deliveries",
    "Webhooks.delivery",
    "Webhooks.get",
    "Webhooks.list",
    "Webhooks.path",
    "Webhooks.replay",
    "Webhooks.rotate",
    "Webhooks.test",
    "Webhooks.update",
    "webhooks create",
    "webhooks delete",
    "webhooks deliveries",
    "webhooks ls",
    "webhooks replay",
    "webhooks rm",
    "webhooks rotate",
    "webhooks show",
    "webhooks test",
    "webhooks update",
)
def webhooks(live: LivePlatform) -> None:
    webhooks = live.client.webhooks

    def names() -> set[str]:
        return {hook.name for hook in webhooks.list()}

    with receiving() as receiver:
        hook = webhooks.create(live.name("hook"), receiver.url, events=["task:failed"])
        assert hook.name in names()
        assert webhooks.get(hook).uuid == hook.uuid
        assert webhooks.path(hook.name) == webhooks.path(hook)
        hook = webhooks.update(hook, is_enabled=False)
        assert not hook.is_enabled
        hook = hook.update(is_enabled=True)
        assert hook.is_enabled
        assert hook.rotate(overlap_hours=1).secret != webhooks.rotate(hook).secret
        delivery = hook.test(timeout=60)
        assert webhooks.test(hook, timeout=60).uuid != delivery.uuid
        assert hook.deliveries().all() == webhooks.deliveries(hook).all()
        assert webhooks.delivery(hook, delivery).uuid == delivery.uuid
        assert webhooks.replay(hook, delivery)
        hook.delete()
        other = webhooks.create(live.name("hook"), receiver.url)
        webhooks.delete(other)
        assert not {hook.name, other.name} & names()
        name = live.name("hook")
        live.cli("webhooks", "create", name, receiver.url)
        assert name in [found["name"] for found in live.cli_json("webhooks", "ls")]
        live.cli("webhooks", "update", name, "--event", "task:failed")
        assert live.cli_json("webhooks", "show", name)["events"] == ["task:failed"]
        assert live.cli_json("webhooks", "rotate", name)["secret"]
        live.cli("webhooks", "test", name)
        found = live.cli_json("webhooks", "deliveries", name)
        live.cli("webhooks", "replay", name, found[0]["uuid"])
        assert len(live.cli_json("webhooks", "deliveries", name)) == len(found) + 1
        live.cli("webhooks", "delete", name, "--yes")
        assert name not in names()
        live.cli("webhooks", "create", name, receiver.url)
        live.cli("webhooks", "rm", name, "--yes")
        assert name not in names()


@scenario(
    "Notification.delete",
    "Notification.mark_read",
    "Notifications.delete",
    "Notifications.delete_read",
    "Notifications.list",
    "Notifications.mark_all_read",
    "Notifications.mark_read",
    "Notifications.preferences",
    "Notifications.set_preferences",
    "Notifications.unread",
    "Notifications.watch",
    "notifications ls",
    "notifications preferences",
    "notifications read",
    "notifications rm",
    "notifications unread",
    "notifications watch",
)
def notifications(live: LivePlatform) -> None:
    _, client = live.person()
    user, notifications = client.me().username, client.notifications
    live.client.projects.create(project := live.name("shared"))

    def notify() -> None:
        """Cause a notification for the user by inviting them to a project."""
        live.client.projects.set_member(project, user, "viewer")
        live.client.projects.remove_member(project, user)

    for _ in range(4):
        notify()
    first, second, third, *_ = notifications.list().all()
    assert notifications.unread() >= 4
    first.mark_read()
    notifications.mark_read(second)
    first.delete()
    notifications.delete(second)
    token = client.access_token()
    left = {str(found.uuid) for found in notifications.list()}
    assert not {str(first.uuid), str(second.uuid)} & left
    assert {found["uuid"] for found in live.cli_json("notifications", "ls", token=token)} == left
    assert str(notifications.unread()) in live.cli("notifications", "unread", token=token)
    live.cli("notifications", "read", third.uuid, token=token)
    live.cli("notifications", "rm", third.uuid, token=token)
    assert third.uuid not in [found.uuid for found in notifications.list()]
    assert notifications.mark_all_read() > 0
    assert notifications.unread() == 0
    assert notifications.delete_read() > 0
    assert notifications.list().all() == []
    notifications.set_preferences(email="off")
    assert notifications.preferences().email == "off"
    live.cli("notifications", "preferences", "--email", "daily", token=token)
    assert notifications.preferences().email == "daily"
    seen: list[object] = []

    def see(read: Callable[[], object]) -> None:
        """Call ``read``, which waits for a notification; cause notifications until it returns."""
        watching = threading.Thread(target=lambda: seen.append(read()))
        watching.start()
        while watching.is_alive():
            notify()
            watching.join(1)
        assert seen.pop()

    see(lambda: next(notifications.watch()))
    with subprocess.Popen(
        [sys.executable, "-u", "-m", "aiplatform", "notifications", "watch"],
        env={**os.environ, **live.environment(token)},
        stdout=subprocess.PIPE,
    ) as command:
        assert command.stdout is not None
        try:
            see(command.stdout.readline)
        finally:
            command.send_signal(signal.SIGINT)
    live.recorder.note("notifications watch")


@scenario(
    "ProjectInvitation.accept",
    "ProjectInvitation.decline",
    "Projects.accept",
    "Projects.decline",
    "Projects.invitations",
    "projects accept",
    "projects decline",
    "projects invitations",
    "projects use",
)
def invitations_into_projects(live: LivePlatform) -> None:
    _, owner = live.person()
    guest, client = live.person()
    token = client.access_token()
    project = owner.projects.create(live.name("shared"))

    def invite() -> ProjectInvitation:
        """Invite the guest, who must not be a member."""
        assert owner.projects.set_member(project, guest, "viewer") is not None
        (made,) = client.projects.invitations()
        return made

    def joined() -> bool:
        return project.uuid in [found.uuid for found in client.projects.list()]

    invite().decline()
    assert not joined()
    invite().accept()
    assert joined()
    client.projects.leave(project)
    client.projects.decline(invite())
    assert not joined()
    client.projects.accept(invite())
    assert joined()
    client.projects.leave(project)
    invite()
    assert project.name in live.cli("projects", "invitations", token=token)
    live.cli("projects", "decline", project.name, token=token)
    assert not joined()
    invite()
    live.cli("projects", "accept", project.name, token=token)
    assert joined()
    live.cli("projects", "use", project.uuid, token=token)
    live.cli("projects", "use", "--none", token=token)
