"""Two database roles: one owns the schema and migrates it, the other runs the system.

The running role reads and writes rows. It can't change tables, and of the audit trail it can only
add rows: not their numbers or times, which the database gives, and nothing that is there already.
So neither a fault of the program nor SQL that somebody smuggles into it rewrites the trail. Nor
can it put something else in the trail's place: it makes no temporary tables and no schemas, which
would be found before the real tables, and the search path of the database is pinned. A
setup with one role for both works too, without that promise; `aiplatform db check` tells.
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
"""Tables that the running role may read and add to, and the columns that it may give."""

TAKEN_FROM = ("audit_unsealed",)
"""A queue that only a trigger fills."""

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

NO_SHADOWS = (
    "REVOKE TEMPORARY, CREATE ON DATABASE {database} FROM PUBLIC",
    "ALTER DATABASE {database} SET search_path = public, pg_temp",
)
"""What keeps names like ``audit_logs`` from meaning anything but the real table. It belongs to the
database itself, so neither a dump nor a copy of the database carries it along."""

_SHADOWS = """
SELECT has_database_privilege(current_database(), 'TEMPORARY')
    OR has_database_privilege(current_database(), 'CREATE')
    OR has_schema_privilege('public', 'CREATE')
"""


class RoleMissing(RuntimeError):
    """The role that shall run the system does not exist."""


@dataclass(frozen=True, slots=True)
class RunningRole:
    """The role of ``AIPLATFORM_DATABASE_URL`` and the audit tables that it could rewrite.

    ``could_shadow``: it may make tables that would be found in place of the audit's.
    """

    name: str
    could_rewrite: tuple[str, ...]
    could_shadow: bool = False

    @property
    def is_restricted(self) -> bool:
        """Whether the audit trail is safe from it."""
        return not self.could_rewrite and not self.could_shadow


def runtime_role(settings: Settings) -> str | None:
    """The role that runs the system, when it is another than the one that migrates."""
    if settings.runtime_role:
        return settings.runtime_role
    if settings.migration_database_url is None:
        return None
    running = urlsplit(settings.database_url).username
    migrating = urlsplit(settings.migration_database_url).username
    return None if running is None or running == migrating else unquote(running)


def forbid_shadows(connection: Connection) -> None:
    """Take from everybody but the owner the right to make temporary tables or schemas.

    Runs as the role that migrates. Unless that owns the database it changes nothing, and
    ``aiplatform db check`` says what is missing.
    """
    raw = connection.connection.driver_connection
    assert isinstance(raw, psycopg.Connection)
    row = raw.execute(_OWNS_DATABASE).fetchone()
    if row is None or not row[1]:
        return
    for statement in NO_SHADOWS:
        raw.execute(sql.SQL(statement).format(database=sql.Identifier(row[0])))


def grant(connection: Connection, role: str) -> None:
    """Give ``role`` what the running system needs, of what is there and of what will be.

    Runs as the owner, after every migration; what was granted too much is taken back.

    Raises:
        RoleMissing: says what to run.
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
        # Not UPDATE: setval would let it give numbers anew.
        return ("REVOKE ALL ON SEQUENCE {table} FROM {role}",
                "GRANT USAGE, SELECT ON SEQUENCE {table} TO {role}")  # fmt: skip
    revoke = "REVOKE ALL ON {table} FROM {role}"
    if name in APPEND_ONLY:
        return (revoke, "GRANT SELECT, INSERT ({columns}) ON {table} TO {role}")
    if name in TAKEN_FROM:
        return (revoke, "GRANT SELECT, DELETE ON {table} TO {role}")
    if name in READ_ONLY:
        return (revoke, "GRANT SELECT ON {table} TO {role}")
    return (revoke, "GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO {role}")


def examine() -> RunningRole:
    """What the role of ``AIPLATFORM_DATABASE_URL`` could do to the audit trail."""
    engine = create_engine(get_settings().sqlalchemy_url)
    try:
        with engine.connect() as connection:
            tables = connection.scalars(text(_POWERS), {"tables": list(APPEND_ONLY)}).all()
            name = connection.scalar(text("SELECT current_user"))
            shadows = connection.scalar(text(_SHADOWS))
    finally:
        engine.dispose()
    return RunningRole(name=str(name), could_rewrite=tuple(tables), could_shadow=bool(shadows))
