"""Privileges of two database roles: one owns and migrates the schema, the other runs the platform.

The runtime role reads and writes rows. It can't change tables. In the audit trail it can only add
rows. It can't set their numbers or times, which the database assigns, and can't change existing
rows. Thus neither a bug nor injected SQL can rewrite the audit trail.

The runtime role can't replace the audit trail either. It may not create temporary tables or
schemas, which would be found before the real tables, and the database's search path is fixed.

One role for both purposes also works, but without this protection, as ``aiplatform db check`` then
reports.
"""

from dataclasses import dataclass
from urllib.parse import unquote, urlsplit

import psycopg
from psycopg import sql
from sqlalchemy import Connection, create_engine, text

from aiplatform.server.core.settings import Settings, get_settings

APPEND_ONLY = {
    "audit_logs": (
        "user_id", "action", "resource_type", "resource_id", "details", "ip_address", "user_agent",
    ),
    "audit_entries": ("audit_id", "project_uuid", "outcome", "action", "user_id"),
    "audit_seals": ("id", "sealed_at", "ids", "root", "previous", "head", "leaves"),
    "audit_signatures": ("seal_id", "key_id", "signature"),
    "audit_archives": ("first_seal", "last_seal", "rows", "sha256", "size"),
}  # fmt: skip
"""Tables that the runtime role may read and append to, and the columns that it may set."""

QUEUE_TABLES = ("audit_unsealed",)
"""Tables filled only by triggers. The runtime role may read and delete rows."""

READ_ONLY = ("alembic_version",)

_OWN_TABLES = """
SELECT c.relname, c.relkind FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relkind IN ('r', 'p', 'v', 'S')
  AND pg_has_role(c.relowner, 'USAGE')
  -- What an extension brought is its own affair.
  AND NOT EXISTS (SELECT FROM pg_depend d WHERE d.objid = c.oid AND d.deptype = 'e')
ORDER BY c.relname
"""

_POWERS = """
SELECT c.relname FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE n.nspname = 'public' AND c.relname = ANY(:tables)
  AND (pg_has_role(c.relowner, 'MEMBER')
       OR has_table_privilege(c.oid, 'UPDATE') OR has_any_column_privilege(c.oid, 'UPDATE')
       OR has_table_privilege(c.oid, 'DELETE') OR has_table_privilege(c.oid, 'TRUNCATE')
       OR has_table_privilege(c.oid, 'TRIGGER'))
ORDER BY c.relname
"""


_OWNS_DATABASE = """
SELECT current_database(), pg_has_role(datdba, 'USAGE')
FROM pg_database WHERE datname = current_database()
"""

TABLE_NAME_PROTECTION = (
    "REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC",
    "ALTER DATABASE {database} SET search_path = public, pg_temp",
)
"""Statements that keep a name like ``audit_logs`` from referring to another table.

They change properties of the database itself, which neither a dump nor a copy of it contains.
"""

_CAN_SHADOW = """
SELECT has_database_privilege(current_database(), 'TEMPORARY')
    OR has_database_privilege(current_database(), 'CREATE')
    OR has_schema_privilege('public', 'CREATE')
"""


class RoleMissing(RuntimeError):
    """The configured runtime role does not exist in the database."""


@dataclass(frozen=True, slots=True)
class RunningRole:
    """The role of ``AIPLATFORM_DATABASE_URL``, and the audit tables that it could rewrite.

    ``can_shadow`` is True if the role may create tables that would be found before the audit
    tables.
    """

    name: str
    rewritable_tables: tuple[str, ...]
    can_shadow: bool = False

    @property
    def is_restricted(self) -> bool:
        """True if the role can neither rewrite nor replace the audit trail."""
        return not self.rewritable_tables and not self.can_shadow


def runtime_role(settings: Settings) -> str | None:
    """Return the runtime role; None if it is the same as the migrating role."""
    if settings.runtime_role:
        return settings.runtime_role
    if settings.migration_database_url is None:
        return None
    running = urlsplit(settings.database_url).username
    migrating = urlsplit(settings.migration_database_url).username
    return None if running is None or running == migrating else unquote(running)


def protect_table_names(connection: Connection) -> None:
    """Revoke the right to create temporary tables or schemas from everyone but the owner.

    This runs as the migrating role. If that role does not own the database, nothing is changed, and
    ``aiplatform db check`` reports what is missing.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    row = raw.execute(_OWNS_DATABASE).fetchone()
    if row is None or not row[1]:
        return
    for statement in TABLE_NAME_PROTECTION:
        raw.execute(sql.SQL(statement).format(database=sql.Identifier(row[0])))


def grant(connection: Connection, role: str) -> None:
    """Grant ``role`` the privileges that the platform needs, on existing and future tables.

    This runs as the owner, after every migration. Excess privileges are revoked.

    Raises:
        RoleMissing: the role does not exist; the message says what to run.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    known = raw.execute("SELECT rolname = current_user FROM pg_roles WHERE rolname = %s", [role])
    row = known.fetchone()
    if row is None:
        raise RoleMissing(
            f"the database has no role {role}, which AIPLATFORM_RUNTIME_ROLE or "
            f"AIPLATFORM_DATABASE_URL names; run `CREATE ROLE {role} LOGIN` as a superuser"
        )
    if row[0]:
        return
    owned = raw.execute(_OWNS_DATABASE).fetchone()
    if owned is not None and owned[1]:
        raw.execute(
            sql.SQL("REVOKE TEMPORARY, CREATE ON DATABASE {} FROM {}").format(
                sql.Identifier(owned[0]), sql.Identifier(role)
            )
        )
    for statement in (
        "GRANT USAGE ON SCHEMA public TO {role}",
        "REVOKE CREATE ON SCHEMA public FROM {role}",
        (
            "ALTER DEFAULT PRIVILEGES IN SCHEMA public"
            " GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO {role}"
        ),
        "ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT USAGE, SELECT ON SEQUENCES TO {role}",
    ):
        raw.execute(sql.SQL(statement).format(role=sql.Identifier(role)))
    for name, kind in raw.execute(_OWN_TABLES).fetchall():
        for statement in _statements(name, sequence=kind == "S"):
            raw.execute(
                sql.SQL(statement).format(
                    role=sql.Identifier(role),
                    table=sql.Identifier("public", name),
                    columns=sql.SQL(", ").join(map(sql.Identifier, APPEND_ONLY.get(name, ()))),
                )
            )


def _statements(name: str, *, sequence: bool) -> tuple[str, ...]:
    if sequence:
        # No UPDATE: setval could then reassign numbers.
        return ("REVOKE ALL ON SEQUENCE {table} FROM {role}",
                "GRANT USAGE, SELECT ON SEQUENCE {table} TO {role}")  # fmt: skip
    revoke = "REVOKE ALL ON {table} FROM {role}"
    if name in APPEND_ONLY:
        return (revoke, "GRANT SELECT, INSERT ({columns}) ON {table} TO {role}")
    if name in QUEUE_TABLES:
        return (revoke, "GRANT SELECT, DELETE ON {table} TO {role}")
    if name in READ_ONLY:
        return (revoke, "GRANT SELECT ON {table} TO {role}")
    return (revoke, "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}")


def examine_role() -> RunningRole:
    """Return the role of ``AIPLATFORM_DATABASE_URL``, and how it could change the audit trail."""
    engine = create_engine(get_settings().sqlalchemy_url)
    try:
        with engine.connect() as connection:
            tables = connection.scalars(text(_POWERS), {"tables": list(APPEND_ONLY)}).all()
            name = connection.scalar(text("SELECT current_user"))
            shadows = connection.scalar(text(_CAN_SHADOW))
    finally:
        engine.dispose()
    return RunningRole(name=str(name), rewritable_tables=tuple(tables), can_shadow=bool(shadows))
