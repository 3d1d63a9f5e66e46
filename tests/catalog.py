"""Definitions of the contract's twelve tables, read from a database for comparison."""

from dataclasses import dataclass, fields
from typing import Any

import psycopg

TABLES = [
    "audit_logs", "celery_tasks", "dataset_versions", "datasets", "experiments", "models",
    "notifications", "project_permissions", "projects", "roles", "tasks", "users",
]  # fmt: skip

_TABLES = """
SELECT c.relname, c.relkind, c.relpersistence, c.relispartition, c.relrowsecurity,
       EXISTS (SELECT FROM pg_inherits i WHERE c.oid IN (i.inhrelid, i.inhparent))
FROM pg_class c WHERE c.relname = ANY(%s) AND c.relnamespace = 'public'::regnamespace
"""

_COLUMNS = """
SELECT c.relname, a.attname, a.attnum - (
           SELECT count(*) FROM pg_attribute d
           WHERE d.attrelid = a.attrelid AND d.attisdropped AND d.attnum < a.attnum AND d.attnum > 0
       ),
       format_type(a.atttypid, a.atttypmod), a.attnotnull, pg_get_expr(d.adbin, d.adrelid),
       a.attidentity, a.attgenerated, coll.collname,
       pg_get_serial_sequence(c.relname, a.attname)
FROM pg_class c
JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
LEFT JOIN pg_collation coll ON coll.oid = a.attcollation
WHERE c.relname = ANY(%s) AND c.relnamespace = 'public'::regnamespace
"""

# In PostgreSQL 18, NOT NULL became a constraint of its own (type 'n'). It is left out here, because
# the comparison of columns covers it.
_CONSTRAINTS = """
SELECT c.relname, k.conname, k.contype, pg_get_constraintdef(k.oid), k.condeferrable,
       k.condeferred, k.convalidated
FROM pg_constraint k JOIN pg_class c ON c.oid = k.conrelid
WHERE c.relname = ANY(%s) AND c.relnamespace = 'public'::regnamespace AND k.contype <> 'n'
"""

_INDEXES = """
SELECT c.relname, x.relname, pg_get_indexdef(i.indexrelid), i.indisvalid
FROM pg_index i JOIN pg_class x ON x.oid = i.indexrelid JOIN pg_class c ON c.oid = i.indrelid
WHERE c.relname = ANY(%s) AND c.relnamespace = 'public'::regnamespace
"""

_ROLES = "SELECT name, description, permissions::text, is_system FROM roles"

Rows = frozenset[tuple[Any, ...]]


@dataclass(frozen=True)
class Catalog:
    """Table definitions as sets of rows; the SELECT statements above name their columns."""

    tables: Rows
    columns: Rows
    constraints: Rows
    indexes: Rows
    roles: Rows


def read_catalog(connection: "psycopg.Connection[Any]") -> Catalog:
    """Return the table definitions, as seen by the connection's transaction."""

    def rows(statement: str, *params: Any) -> Rows:
        return frozenset(connection.execute(statement, params or None).fetchall())

    return Catalog(
        tables=rows(_TABLES, TABLES),
        columns=rows(_COLUMNS, TABLES),
        constraints=rows(_CONSTRAINTS, TABLES),
        indexes=rows(_INDEXES, TABLES),
        roles=rows(_ROLES),
    )


def differences(contract: Catalog, actual: Catalog) -> list[str]:
    """Return the differences between ``actual`` and the contract, one line each.

    Additional indexes, and additional CHECK and UNIQUE constraints, are allowed.
    """
    found = []
    for field in fields(Catalog):
        expected, given = getattr(contract, field.name), getattr(actual, field.name)
        found += [f"{field.name}: missing {row}" for row in sorted(expected - given, key=str)]
        found += [
            f"{field.name}: not in the contract {row}"
            for row in sorted(given - expected, key=str)
            if not _allowed(field.name, row)
        ]
    return found


def _allowed(kind: str, row: tuple[Any, ...]) -> bool:
    return kind == "indexes" or (kind == "constraints" and row[2] in {"c", "u", "x"})
