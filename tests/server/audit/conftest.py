"""Fixtures for the tests of the audit trail."""

import os
import time
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.servers import PostgresServer


@pytest.fixture
def url(fresh_database: str) -> str:
    return fresh_database


@pytest.fixture
def owner(fresh_database: str) -> str:
    return os.environ["AIPLATFORM_MIGRATION_DATABASE_URL"]


@pytest.fixture
def superuser(url: str, postgres: PostgresServer) -> Iterator["psycopg.Connection[Any]"]:
    """Connect as a superuser, in a session in which no triggers run."""
    if postgres.superuser_url is None:
        pytest.skip("needs a superuser")
    name = psycopg.connect(url).info.dbname
    with psycopg.connect(postgres.url_of(name, role="postgres"), autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")
        yield connection
    # Wait until the superuser's session has ended: the role that drops the database may not be
    # allowed to end it.
    with postgres.connect() as connection:
        while connection.execute(
            "SELECT 1 FROM pg_stat_activity WHERE datname = %s AND usename = 'postgres'", [name]
        ).fetchone():
            time.sleep(0.01)
