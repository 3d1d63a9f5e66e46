"""Helpers to test that a request changes nothing if its audit entry can't be written."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import text
from sqlalchemy.orm import Session

REFUSE = """
CREATE OR REPLACE FUNCTION refuse_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN RAISE EXCEPTION 'no room for records' USING ERRCODE = 'disk_full'; END $$;
CREATE TRIGGER refuse_record BEFORE INSERT ON audit_logs
    FOR EACH ROW EXECUTE FUNCTION refuse_record()
"""

IGNORED_TABLES = {
    "api_keys": "when a key was used last",
    "auth_sessions": "when a session was used last",
    "login_failures": "failures count all the more when something is wrong",
    "dataset_uploads": "pieces that have come stay, so that the upload can go on",
    "workers": "they tell how they are each second",
}
"""Tables that such a request may change, each with the reason."""

AUDITED_AFTER_ANSWER = {
    "POST /api/v1/auth/forgot-password": "its time would tell whether there is such an account",
    "POST /v1/chat/completions": "changes nothing; its record waits until the database takes it",
}
"""Routes that write their audit entry after the response, each with the reason."""


@contextmanager
def refuse_audit_entries(session: Session, owner_url: str) -> Iterator[None]:
    """Make ``audit_logs`` refuse new rows inside the ``with`` block, as if the disk were full."""
    session.rollback()
    with psycopg.connect(owner_url, autocommit=True) as owner:
        owner.execute(REFUSE)
        try:
            yield
        finally:
            session.rollback()
            owner.execute("DROP TRIGGER refuse_record ON audit_logs")


def table_checksums(session: Session) -> dict[str, tuple[int, int]]:
    """Return each table's number of rows and a checksum of their values."""
    session.rollback()
    names = session.scalars(
        text("SELECT c.relname FROM pg_class c WHERE c.relkind = 'r' AND c.relnamespace ="
             " 'public'::regnamespace ORDER BY 1")
    )  # fmt: skip
    asked = " UNION ALL ".join(
        f"SELECT '{name}', count(*), coalesce(sum(hashtext(t::text)::bigint), 0) FROM \"{name}\" t"
        for name in names
        if name not in IGNORED_TABLES
    )
    found = {name: (rows, int(total)) for name, rows, total in session.execute(text(asked))}
    session.rollback()
    return found
