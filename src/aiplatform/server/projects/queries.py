"""SELECT statements for projects, members, keys, invitations, views, bin, usage and webhooks."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select, and_, case, exists, false, func, literal, or_, select
from sqlalchemy.dialects.postgresql import array, insert
from sqlalchemy.orm import Session, aliased

from aiplatform.protocol.permissions import WILDCARD, Permission
from aiplatform.server.core.database import AdvisoryLock
from aiplatform.server.core.errors import NotFound
from aiplatform.server.core.storage import Blob, BlobRef
from aiplatform.server.core.views import View
from aiplatform.server.identity.access import Principal
from aiplatform.server.identity.models import ApiKey, Role, User
from aiplatform.server.notifications.models import Webhook, WebhookAttempt, WebhookDelivery
from aiplatform.server.projects.access import ProjectContext
from aiplatform.server.projects.models import (
    BinEntry,
    BinHome,
    Project,
    ProjectInvitation,
    ProjectPermission,
    ProjectUsage,
    SavedView,
)
from aiplatform.server.projects.rules import DELETED

not_in_bin = Project.status.is_distinct_from(DELETED)
"""Condition for projects that are not in the bin, including those with a null status."""

_READERS = array([WILDCARD, f"projects:{WILDCARD}", Permission.PROJECTS_READ.value])


def uuid_of(session: Session, project_id: int | None) -> UUID | None:
    """Return the uuid of a project, or None if there is no such project."""
    return session.scalar(select(Project.uuid).where(Project.id == project_id))


def visible_projects(
    principal: Principal, *, name: str | None = None, status: str | None = None
) -> Select[*tuple[Any, ...]]:
    """Select the projects that the principal may see.

    Each has its owner (or None), and True if the principal may read the project. An API key for one
    project sees that project while the key's owner is a member, whatever its scopes: programs know
    the project's name and need its uuid. To read more, the key needs the permission.

    Args:
        principal: the caller.
        name: a part of the project's name, ignoring case.
        status: the status that the projects must have.
    """
    grant = and_(
        ProjectPermission.project_id == Project.id,
        ProjectPermission.user_id == principal.user_id,
        Role.id == ProjectPermission.role_id,
    )
    mine = Project.owner_id == principal.user_id
    in_scope = principal.in_scope(Permission.PROJECTS_READ)
    everywhere = literal(principal.reaches_all_projects)
    reads = or_(everywhere, mine, exists().where(grant, Role.permissions.has_any(_READERS)))
    readable = and_(literal(in_scope), reads)
    statement = (
        select(Project, User, readable.label("readable"))
        .outerjoin(User, User.id == Project.owner_id)
        .where(not_in_bin)
    )
    if principal.key is not None and principal.key.project_id is not None:
        is_in = or_(everywhere, mine, exists().where(grant))
        statement = statement.where(Project.id == principal.key.project_id, is_in)
    elif not in_scope:
        statement = statement.where(false())
    elif not principal.reaches_all_projects:
        statement = statement.where(reads)
    if name is not None:
        statement = statement.where(Project.name.icontains(name, autoescape=True))
    if status is not None:
        statement = statement.where(Project.status == status)
    return statement


def get_project(
    session: Session, context: ProjectContext, *, lock: bool = False
) -> tuple[Project, User | None]:
    """Return the context's project and its owner; with ``lock``, locked for the transaction.

    Raises:
        NotFound: when it was deleted after the guard saw it.
    """
    statement = (
        select(Project, User)
        .outerjoin(User, User.id == Project.owner_id)
        .where(Project.id == context.project_id, not_in_bin)
    )
    if lock:  # as in :func:`lock_project`
        statement = statement.with_for_update(of=Project, key_share=True)
    row = session.execute(statement.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound(resource="project")
    return row[0], row[1]


def name_in_use(
    session: Session, owner_id: int | None, name: str, *, excluding: UUID | None = None
) -> bool:
    """Return True if the owner has a project with this name, other than ``excluding``.

    Names of projects in the bin don't count.
    """
    named = exists().where(Project.owner_id == owner_id, Project.name == name, not_in_bin)
    if excluding is not None:
        named = named.where(Project.uuid != excluding)
    return bool(session.scalar(select(named)))


def lock_names(session: Session, owner_id: int) -> None:
    """Lock the names of an owner's projects against changes by other transactions."""
    session.execute(select(User.id).where(User.id == owner_id).with_for_update(key_share=True))


def list_members(context: ProjectContext) -> Select[*tuple[Any, ...]]:
    """Return a statement for the project's members: role grants, each with user and role."""
    return (
        select(ProjectPermission, User, Role)
        .join(User, User.id == ProjectPermission.user_id)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(ProjectPermission.project_id == context.project_id)
    )


def get_grant(
    session: Session, context: ProjectContext, user_id: int, *, lock: bool = True
) -> tuple[ProjectPermission, Role] | None:
    """Return a user's role in the project, locked by default, or None if the user has none."""
    statement = (
        select(ProjectPermission, Role)
        .join(Role, Role.id == ProjectPermission.role_id)
        .where(
            ProjectPermission.project_id == context.project_id,
            ProjectPermission.user_id == user_id,
        )
    )
    if lock:
        statement = statement.with_for_update(of=ProjectPermission)
    row = session.execute(statement).one_or_none()
    return None if row is None else (row[0], row[1])


class KeyRow(NamedTuple):
    """An API key with its owner, and the uuid of its project if it is limited to one."""

    key: ApiKey
    owner: User
    project: UUID | None


def list_keys(owner: User, *, revoked: bool = False) -> Select[*tuple[Any, ...]]:
    """Return a statement for the keys of an account, as :class:`KeyRow`.

    Revoked keys are only included if ``revoked`` is true.
    """
    statement = (
        select(ApiKey, User, Project.uuid)
        .join(User, User.id == ApiKey.user_id)
        .outerjoin(Project, Project.id == ApiKey.project_id)
        .where(ApiKey.user_id == owner.id)
    )
    return statement if revoked else statement.where(ApiKey.revoked_at.is_(None))


def get_key(session: Session, owner: User, uuid: UUID, *, lock: bool = False) -> KeyRow:
    """Return a key of an account.

    Raises:
        NotFound: when the account has no key with that uuid.
    """
    statement = list_keys(owner, revoked=True).where(ApiKey.uuid == uuid)
    if lock:
        statement = statement.with_for_update(of=ApiKey, key_share=True)
    row = session.execute(statement.execution_options(populate_existing=True)).one_or_none()
    if row is None:
        raise NotFound(resource="API key")
    return KeyRow(*row)


def unrevoked_keys(session: Session, user_id: int) -> Sequence[tuple[ApiKey, bool]]:
    """Return an account's keys that are not revoked, each with True if it has expired."""
    expired = func.coalesce(ApiKey.expires_at <= func.clock_timestamp(), False)
    rows = session.execute(
        select(ApiKey, expired).where(ApiKey.user_id == user_id, ApiKey.revoked_at.is_(None))
    )
    return [(row[0], row[1]) for row in rows]


def project_grants(
    session: Session, principal: Principal, project_id: int | None
) -> Sequence[tuple[bool, list[str] | None]]:
    """Return the principal's rights in each of their projects, or in the given one.

    Each item contains True if the principal owns the project, and the permissions of their role in
    it, or None without a role.
    """
    statement = (
        select(
            func.coalesce(Project.owner_id == principal.user_id, False),
            Role.permissions,
        )
        .outerjoin(
            ProjectPermission,
            and_(
                ProjectPermission.project_id == Project.id,
                ProjectPermission.user_id == principal.user_id,
            ),
        )
        .outerjoin(Role, Role.id == ProjectPermission.role_id)
    )
    if project_id is not None:
        statement = statement.where(Project.id == project_id)
    else:
        mine = Project.owner_id == principal.user_id
        statement = statement.where(or_(mine, ProjectPermission.id.is_not(None))).distinct()
    return [(row[0], row[1]) for row in session.execute(statement)]


def reachable_project(session: Session, principal: Principal, uuid: UUID) -> int:
    """Return the id of a project in which the principal has permissions; keep it from deletion.

    Raises:
        NotFound: for any other project.
    """
    statement = select(Project.id).where(Project.uuid == uuid, not_in_bin)
    if not principal.reaches_all_projects:
        member = exists().where(
            ProjectPermission.project_id == Project.id,
            ProjectPermission.user_id == principal.user_id,
        )
        statement = statement.where(or_(Project.owner_id == principal.user_id, member))
    found = session.scalar(statement.with_for_update(read=True, key_share=True))
    if found is None:
        raise NotFound(resource="project")
    return found


def lock_project(session: Session, project_id: int) -> Project:
    """Lock a project against other changes, but not against new rows that refer to it.

    A transaction that ends the tasks of a project holds this lock while workers that finish them
    write such rows. A stronger lock would cause a deadlock.

    Raises:
        NotFound: when the project has since been deleted.
    """
    project = session.scalar(
        select(Project)
        .where(Project.id == project_id, not_in_bin)
        .with_for_update(key_share=True)
        .execution_options(populate_existing=True)
    )
    if project is None:
        raise NotFound(resource="project")
    return project


def list_memberships() -> Select[*tuple[Any, ...]]:
    """Select the account and the role of each membership."""
    return select(ProjectPermission.user_id, ProjectPermission.role_id)


class InvitationRow(NamedTuple):
    """An invitation with its project, role, and inviter (None if that account is deleted)."""

    invitation: ProjectInvitation
    project: Project
    role: Role
    inviter: User | None


def _rows() -> Select[*tuple[Any, ...]]:
    return (
        select(ProjectInvitation, Project, Role, User)
        .join(Project, Project.id == ProjectInvitation.project_id)
        .join(Role, Role.id == ProjectInvitation.role_id)
        .outerjoin(User, User.id == ProjectInvitation.invited_by)
        .where(not_in_bin)
    )


def list_invitations(context: ProjectContext) -> Select[*tuple[Any, ...]]:
    """Select the open invitations of a project, as :class:`InvitationRow`."""
    return _rows().where(ProjectInvitation.project_id == context.project_id)


def list_my_invitations(user_id: int) -> Select[*tuple[Any, ...]]:
    """Select the open invitations of a user, as :class:`InvitationRow`."""
    return _rows().where(ProjectInvitation.user_id == user_id)


def lock_my_invitation(session: Session, user_id: int, uuid: UUID) -> InvitationRow:
    """Lock one of the user's invitations and return it.

    Raises:
        NotFound: when the user has no such invitation.
    """
    statement = list_my_invitations(user_id).where(ProjectInvitation.uuid == uuid)
    row = session.execute(statement.with_for_update(of=ProjectInvitation)).one_or_none()
    if row is None:
        raise NotFound(resource="invitation", resource_zh="邀请")
    return InvitationRow(*row)


def lock_invitation(
    session: Session, context: ProjectContext, username: str
) -> ProjectInvitation | None:
    """Lock a project's open invitation by the invited user's name; None if there is none."""
    return session.scalar(
        select(ProjectInvitation)
        .where(
            ProjectInvitation.project_id == context.project_id,
            ProjectInvitation.username == username,
        )
        .with_for_update()
    )


def count_invitations(session: Session, context: ProjectContext) -> int:
    """Return the number of the project's open invitations."""
    mine = ProjectInvitation.project_id == context.project_id
    counted = select(func.count()).select_from(ProjectInvitation).where(mine)
    return session.scalar(counted) or 0


def is_member(session: Session, project_id: int, user_id: int) -> bool:
    """Return True if the user has a role in the project."""
    grant = select(ProjectPermission.id).where(
        ProjectPermission.project_id == project_id, ProjectPermission.user_id == user_id
    )
    return session.scalar(grant.limit(1)) is not None


VERSIONS = View("versions", "id", "dataset_id")
"""Columns of dataset versions, published by the domain ``datasets``."""


def bin_home(session: Session) -> int:
    """Return the id of the project that holds deleted datasets and models; create it if needed."""
    found: int | None = session.scalar(select(BinHome.project_id))
    if found is not None:
        return found
    session.execute(select(func.pg_advisory_xact_lock(int(AdvisoryLock.BIN))))
    found = session.scalar(select(BinHome.project_id))
    if found is None:
        home = Project(
            name="bin",
            description="Holds deleted datasets and models. Do not change.",
            status=DELETED,
        )
        session.add(home)
        session.flush()
        session.add(BinHome(project_id=home.id))
        session.flush()
        found = home.id
    return found


def _stored(*conditions: Any) -> Any:
    return (
        select(func.coalesce(func.sum(Blob.size), 0))
        .select_from(BlobRef)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .outerjoin(VERSIONS.table, VERSIONS.c.id == BlobRef.dataset_version_id)
        .where(*conditions)
        .correlate(BinEntry)
        .scalar_subquery()
    )


def _bytes() -> Any:
    return case(
        (BinEntry.kind == "dataset", _stored(VERSIONS.c.dataset_id == BinEntry.dataset_id)),
        (BinEntry.kind == "model", _stored(BlobRef.model_id == BinEntry.model_id)),
        else_=_stored(BlobRef.project_id == BinEntry.project_id),
    ).label("bytes")


def list_bin_entries(context: ProjectContext, kinds: list[str]) -> Select[*tuple[Any, ...]]:
    """Return a statement for the project's deleted resources.

    Each has its size in bytes and the user who deleted it.
    """
    return (
        select(BinEntry, _bytes(), User)
        .outerjoin(User, User.id == BinEntry.deleted_by)
        .where(BinEntry.project_id == context.project_id, BinEntry.kind.in_(kinds))
    )


def list_binned_projects(principal: Principal) -> Select[*tuple[Any, ...]]:
    """Return a statement for the deleted projects that the principal may restore.

    Each has its size in bytes and the user who deleted it.
    """
    statement = (
        select(BinEntry, _bytes(), User)
        .join(Project, Project.id == BinEntry.project_id)
        .outerjoin(User, User.id == BinEntry.deleted_by)
        .where(BinEntry.kind == "project")
    )
    if not principal.in_scope(Permission.PROJECTS_READ):
        return statement.where(false())
    if principal.key is not None and principal.key.project_id is not None:
        statement = statement.where(Project.id == principal.key.project_id)
    if principal.reaches_all_projects:
        return statement
    holds_everything = exists().where(
        ProjectPermission.project_id == Project.id,
        ProjectPermission.user_id == principal.user_id,
        Role.id == ProjectPermission.role_id,
        Role.permissions.has_any(array([WILDCARD])),
    )
    return statement.where(or_(Project.owner_id == principal.user_id, holds_everything))


def lock_bin_entry(session: Session, project_id: int, uuid: UUID) -> BinEntry:
    """Lock an entry in the project's bin; restoring and purging begin with this.

    Raises:
        NotFound: when the entry is not, or no longer, there.
    """
    entry = session.scalar(
        select(BinEntry)
        .where(BinEntry.resource_uuid == uuid, BinEntry.project_id == project_id)
        .with_for_update()
        .execution_options(populate_existing=True)
    )
    if entry is None:
        raise NotFound(resource="bin item")
    return entry


def lock_bin_items(session: Session, project_id: int) -> Sequence[BinEntry]:
    """Lock the datasets and models that the project deleted before it was deleted itself."""
    return session.scalars(
        select(BinEntry)
        .where(BinEntry.project_id == project_id, BinEntry.kind != "project")
        .order_by(BinEntry.id)
        .with_for_update()
    ).all()


def overdue_entries(session: Session, limit: int, *, after: int = 0) -> Sequence[int]:
    """Return the ids, above ``after`` and in ascending order, of entries to purge now."""
    return session.scalars(
        select(BinEntry.id)
        .where(BinEntry.purge_after <= func.clock_timestamp(), BinEntry.id > after)
        .order_by(BinEntry.id)
        .limit(limit)
    ).all()


def lock_overdue_entry(session: Session, entry_id: int) -> BinEntry | None:
    """Lock one of the entries from :func:`overdue_entries` and return it.

    Return None if another process has locked or purged it.
    """
    return session.scalar(
        select(BinEntry)
        .where(BinEntry.id == entry_id, BinEntry.purge_after <= func.clock_timestamp())
        .with_for_update(skip_locked=True)
    )


def time_in_days(session: Session, days: int) -> datetime:
    """Return the time ``days`` days from now, by the database's clock."""
    later: datetime = session.scalars(select(func.clock_timestamp() + timedelta(days=days))).one()
    return later


@dataclass(frozen=True, slots=True)
class StoredBytes:
    """A project's stored bytes by kind. Content that is stored once but used twice counts twice."""

    datasets: int
    models: int
    checkpoints: int
    artifacts: int
    bin: int

    @property
    def total(self) -> int:
        """The sum of all kinds, which the storage quota limits."""
        return self.datasets + self.models + self.checkpoints + self.artifacts + self.bin


def stored_bytes(session: Session, project_id: int) -> StoredBytes:
    """Return the project's stored bytes by kind."""
    of_dataset, of_model = aliased(BinEntry), aliased(BinEntry)
    binned = or_(of_dataset.id.is_not(None), of_model.id.is_not(None))

    def total(condition: Any) -> Any:
        return func.coalesce(func.sum(Blob.size).filter(condition), 0)

    row = session.execute(
        select(
            total(and_(BlobRef.dataset_version_id.is_not(None), ~binned)),
            total(and_(BlobRef.model_id.is_not(None), ~binned)),
            total(BlobRef.checkpoint_id.is_not(None)),
            total(or_(BlobRef.task_id.is_not(None), BlobRef.bundle_id.is_not(None))),
            total(binned),
        )
        .select_from(BlobRef)
        .join(Blob, Blob.sha256 == BlobRef.sha256)
        .outerjoin(VERSIONS.table, VERSIONS.c.id == BlobRef.dataset_version_id)
        .outerjoin(of_dataset, of_dataset.dataset_id == VERSIONS.c.dataset_id)
        .outerjoin(of_model, of_model.model_id == BlobRef.model_id)
        .where(BlobRef.project_id == project_id)
    ).one()
    return StoredBytes(*(int(value) for value in row))


def running_usage(session: Session, project_id: int) -> tuple[int, int]:
    """Return the number of the project's running tasks and of the GPUs that they hold."""
    row = session.execute(
        select(ProjectUsage.running, ProjectUsage.gpus).where(ProjectUsage.project_id == project_id)
    ).one_or_none()
    return (0, 0) if row is None else (int(row[0]), int(row[1]))


def lock_running_usage(session: Session, project_id: int) -> tuple[int, int]:
    """Lock and return the project's :func:`running_usage`.

    No task of the project starts or ends until the commit.
    """
    row = insert(ProjectUsage).values(project_id=project_id)
    session.execute(row.on_conflict_do_nothing(index_elements=["project_id"]))
    locked = select(ProjectUsage.project_id).where(ProjectUsage.project_id == project_id)
    session.execute(locked.with_for_update())
    return running_usage(session, project_id)


def list_webhooks(context: ProjectContext) -> Select[Any]:
    """Return a statement for the project's webhooks."""
    return select(Webhook).where(Webhook.project_id == context.project_id)


def get_webhook(
    session: Session, context: ProjectContext, uuid: UUID, *, lock: bool = False
) -> Webhook:
    """Return a webhook of the project.

    Raises:
        NotFound: when the project has no webhook with this uuid.
    """
    statement = list_webhooks(context).where(Webhook.uuid == uuid)
    if lock:
        statement = statement.with_for_update().execution_options(populate_existing=True)
    webhook: Webhook | None = session.scalars(statement).one_or_none()
    if webhook is None:
        raise NotFound(resource="webhook")
    return webhook


def list_deliveries(webhook: Webhook) -> Select[Any]:
    """Return a statement for the deliveries of a webhook, both sent and waiting."""
    return select(WebhookDelivery).where(WebhookDelivery.webhook_id == webhook.id)


def get_delivery(session: Session, webhook: Webhook, uuid: UUID) -> WebhookDelivery:
    """Return a delivery of a webhook.

    Raises:
        NotFound: when the webhook has no delivery with this uuid.
    """
    statement = list_deliveries(webhook).where(WebhookDelivery.uuid == uuid)
    delivery: WebhookDelivery | None = session.scalars(statement).one_or_none()
    if delivery is None:
        raise NotFound(resource="delivery")
    return delivery


def attempts_of(session: Session, delivery: WebhookDelivery) -> Sequence[WebhookAttempt]:
    """Return all calls that were made for a delivery."""
    return session.scalars(
        select(WebhookAttempt)
        .where(WebhookAttempt.delivery_id == delivery.id)
        .order_by(WebhookAttempt.attempt)
    ).all()


def list_views(context: ProjectContext, *, page: str | None = None) -> Select[*tuple[Any, ...]]:
    """Select the views that the caller sees in a project, each with the user who saved it.

    They are the caller's own, and those that others have shared.
    """
    statement = (
        select(SavedView, User)
        .join(User, User.id == SavedView.user_id)
        .where(
            SavedView.project_id == context.project_id,
            or_(SavedView.user_id == context.principal.user_id, SavedView.shared),
        )
    )
    return statement if page is None else statement.where(SavedView.page == page)


def get_view(
    session: Session, context: ProjectContext, uuid: UUID, *, lock: bool = False
) -> tuple[SavedView, User]:
    """Return a view that the caller sees, and the user who saved it.

    Raises:
        NotFound: when the project has no such view, or another user keeps it private.
    """
    statement = list_views(context).where(SavedView.uuid == uuid)
    if lock:
        statement = statement.with_for_update(of=SavedView)
    row = session.execute(statement).one_or_none()
    if row is None:
        raise NotFound(resource="saved view")
    return row[0], row[1]


def count_views(session: Session, context: ProjectContext) -> int:
    """Return the number of views that the caller has saved in the project."""
    statement = (
        select(func.count())
        .select_from(SavedView)
        .where(
            SavedView.project_id == context.project_id,
            SavedView.user_id == context.principal.user_id,
        )
    )
    return session.scalar(statement) or 0
