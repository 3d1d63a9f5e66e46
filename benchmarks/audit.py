"""Time to read pages of a ten-million-row audit trail with each filter, and the sealing speed.

PostgreSQL generates the rows itself, without triggers. They are spread over a year and have 40
actions, 200 users and 50 projects with very different activity. One client requests pages at
different positions over HTTP with each filter, one at a time, including authentication. The
speed of writing rows is measured before and after they are generated.
"""

import os
import random
import sys
import time
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import psycopg
from common.figures import figure, percentile, progress
from common.platform import running_platform

from aiplatform.protocol.audit import AuditAction
from aiplatform.server.audit.service.sealing import seal_all
from aiplatform.server.core.audit import Actor, Event, record_many
from aiplatform.server.core.database import transaction
from aiplatform.server.core.pagination import encode_cursor

ROWS = int(os.environ.get("AUDIT_ROWS", "10_000_000"))
SEALED = min(50_000, ROWS)
CHUNK = 500_000
PAGES, WARM = 30, 3
WRITTEN = 5_000
TARGET = "<= 50"
BEGIN = datetime(2025, 1, 1, tzinfo=UTC)
SPAN = timedelta(days=365)

PREPARE = """
INSERT INTO users (username, email, password_hash)
    SELECT 'person' || n, 'p' || n || '@example.com', 'x' FROM generate_series(1, 200) n;
CREATE TABLE bench_projects AS SELECT n, gen_random_uuid() AS uuid FROM generate_series(0, 49) n;
CREATE TABLE bench_actions AS
    SELECT row_number() OVER () - 1 AS n, action FROM unnest(%(actions)s::text[]) action;
CREATE TABLE bench_users AS
    SELECT row_number() OVER (ORDER BY id) - 1 AS n, id, uuid, username FROM users
    WHERE username LIKE 'person%%'
"""

# Powers of random numbers favour small numbers: the first of each kind gets most of the rows, the
# last ones few.
FILL = """
WITH dice AS MATERIALIZED (
    SELECT n, %(begin)s::timestamptz + ((n - %(base)s)::float8 / %(rows)s)
                * %(span)s::interval AS time,
           floor(200 * power(random(), 3))::int AS person,
           floor(50 * power(random(), 2))::int AS project,
           floor(%(kinds)s * power(random(), 2))::int AS kind, random() AS luck
    FROM generate_series(%(first)s::int, %(last)s::int) n
), logs AS (
    INSERT INTO audit_logs (id, user_id, action, resource_type, resource_id, details, ip_address,
                            user_agent, created_at)
    SELECT d.n, u.id, a.action, split_part(a.action, ':', 1), gen_random_uuid()::text,
           jsonb_build_object('name', 'thing-' || d.n, 'word', 'w' || floor(d.luck * 5000),
                              'actor', jsonb_build_object('uuid', u.uuid, 'username', u.username)),
           ('10.' || d.person || '.' || (d.n %% 250) || '.7')::inet, 'aiplatform/0.1.0', d.time
    FROM dice d JOIN bench_users u ON u.n = d.person JOIN bench_actions a ON a.n = d.kind
)
INSERT INTO audit_entries (audit_id, project_uuid, outcome, created_at, action, user_id)
SELECT d.n, p.uuid, CASE WHEN d.luck < 0.002 THEN 'denied' WHEN d.luck < 0.01 THEN 'failure'
                         ELSE 'success' END, d.time, a.action, u.id
FROM dice d JOIN bench_projects p ON p.n = d.project
JOIN bench_users u ON u.n = d.person JOIN bench_actions a ON a.n = d.kind
"""

INDEXES = """
SELECT indexname, indexdef FROM pg_indexes
WHERE tablename IN ('audit_logs', 'audit_entries') AND indexname LIKE 'i%x\\_%'
"""
UNIQUE = "audit_entries_uuid_key"


def main() -> int:
    """Create the rows, seal some of them, and request pages."""
    with running_platform() as (client, started):
        state = started.state
        os.environ["AIPLATFORM_DATABASE_URL"] = state["database_url"]
        superuser = state["migration_database_url"].replace("aiplatform@", "postgres@", 1)
        figure("audit.written_into_empty", written(), "rows/s")
        with psycopg.connect(superuser, autocommit=True) as connection:
            facts = fill(connection)
            figure("audit.written", written(), "rows/s")
            progress("sealing")
            seal(connection)
            size = connection.execute(
                "SELECT sum(pg_total_relation_size(c)) FROM unnest("
                "ARRAY['audit_logs', 'audit_entries']::regclass[]) c"
            ).fetchone()
            figure("audit.size_per_row", float(size[0] if size else 0) / ROWS, "bytes")
        everything: list[float] = []

        def sign(request: httpx.Request) -> httpx.Request:
            # The token may have expired, because loading the rows takes long.
            request.headers["Authorization"] = f"Bearer {client.access_token()}"
            return request

        with httpx.Client(base_url=started.url, auth=sign, timeout=120) as http:
            taken, _ = measure_page_requests(http, {}, "/api/v1/users/me")
            floor = percentile(taken, 0.95)
            for name, parameters in questions(facts).items():
                taken, count = measure_page_requests(http, parameters)
                progress(f"{name}: {count} rows, p50 {percentile(taken, 0.5):.1f} ms")
                figure(
                    f"audit.{name}.p95",
                    percentile(taken, 0.95),
                    "ms",
                    target=TARGET,
                    baseline=floor,
                    baseline_name="GET users/me",
                )
                everything += taken
        figure("audit.all.p95", percentile(everything, 0.95), "ms", target=TARGET)
    return 0


def measure_page_requests(
    http: httpx.Client, parameters: dict[str, Any], path: str = "/api/v1/audit"
) -> tuple[list[float], int]:
    """Request some pages; return their durations in ms and the number of rows on the last one."""
    taken, count = [], 0
    for number in range(PAGES + WARM):
        params = {key: value() if callable(value) else value for key, value in parameters.items()}
        began = time.perf_counter()
        answer = http.get(path, params={"limit": 50, **params}).raise_for_status()
        if number >= WARM:
            taken.append((time.perf_counter() - began) * 1000)
        count = len(answer.json().get("items", ()))
    return taken, count


def fill(connection: "psycopg.Connection[Any]") -> dict[str, Any]:
    """Create the rows and then the indexes; return values to filter by."""
    actions = [action.value for action in AuditAction][:40]
    connection.execute("SET session_replication_role = replica")
    connection.execute("SET maintenance_work_mem = '1GB'")
    connection.execute("SET synchronous_commit = off")
    # With frequent checkpoints, most index pages would be written several times.
    connection.execute("ALTER SYSTEM SET max_wal_size = '8GB'")
    connection.execute("SELECT pg_reload_conf()")
    for statement in PREPARE.split(";"):
        connection.execute(statement, {"actions": actions})
    indexes = connection.execute(INDEXES).fetchall()
    for name, _ in indexes:
        connection.execute(f"DROP INDEX {name}")
    connection.execute(f"ALTER TABLE audit_entries DROP CONSTRAINT {UNIQUE}")
    first = 1_000_000
    for at in range(first, first + ROWS, CHUNK):
        connection.execute(
            FILL,
            {
                "begin": BEGIN, "rows": ROWS, "base": first, "span": SPAN, "kinds": len(actions),
                "first": at, "last": min(at + CHUNK, first + ROWS) - 1,
            },
        )  # fmt: skip
        progress(f"{at - first + CHUNK:,} rows")
    connection.execute(f"ALTER TABLE audit_entries ADD CONSTRAINT {UNIQUE} UNIQUE (uuid)")
    for name, definition in indexes:
        connection.execute(definition)
        progress(f"index {name}")
    connection.execute(
        "SELECT setval(pg_get_serial_sequence('audit_logs', 'id'), max(id)) FROM audit_logs"
    )
    connection.execute("VACUUM (ANALYZE) audit_logs")
    connection.execute("VACUUM (ANALYZE) audit_entries")
    connection.execute("DROP TABLE bench_actions, bench_users")
    projects = connection.execute("SELECT uuid FROM bench_projects ORDER BY n").fetchall()
    middle = first + ROWS // 2
    row = connection.execute(
        "SELECT resource_id, host(ip_address) FROM audit_logs WHERE id = %s", [middle]
    ).fetchone()
    assert row is not None
    return {
        "first": first, "actions": actions, "projects": [str(project) for (project,) in projects],
        "resource": row[0], "address": row[1],
    }  # fmt: skip


def written() -> float:
    """Return the number of rows per second that the platform writes, in transactions of 100."""
    dice = random.Random(11)

    def event() -> Event:
        actor = Actor(user_id=1, username="admin", ip_address=f"10.{dice.randrange(200)}.2.3")
        words = {"name": f"thing-{dice.randrange(10**9)}", "word": f"w{dice.randrange(5000)}"}
        action = dice.choice(list(AuditAction))
        return Event(actor, action, "dataset", uuid4(), uuid4(), details=words)

    times = []
    for _ in range(WRITTEN // 100):
        events = [event() for _ in range(100)]
        began = time.perf_counter()
        with transaction() as session:
            record_many(session, events)
        times.append(time.perf_counter() - began)
    return 100 / percentile(times, 0.5)


def seal(connection: "psycopg.Connection[Any]") -> None:
    """Measure how fast rows are sealed. The platform's worker may seal some of them, too."""
    connection.execute(
        "INSERT INTO audit_unsealed SELECT id FROM audit_logs ORDER BY id DESC LIMIT %s"
        " ON CONFLICT DO NOTHING",
        [SEALED],
    )
    began = time.perf_counter()
    while True:
        seal_all()
        left = connection.execute("SELECT count(*) FROM audit_unsealed").fetchone()
        if left is None or left[0] < 1000:
            break
    figure("audit.sealed", SEALED / (time.perf_counter() - began), "rows/s", target=">= 2000")


def questions(facts: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Return the query parameters of each filter; callables are called for each request."""
    dice = random.Random(7)

    def moment() -> datetime:
        return BEGIN + SPAN * dice.uniform(0.1, 0.9)

    def cursor() -> str:
        share = dice.uniform(0.1, 0.9)
        return encode_cursor((BEGIN + SPAN * share).isoformat(), facts["first"] + int(ROWS * share))

    def text(value: datetime) -> str:
        return value.isoformat()

    day = BEGIN + SPAN / 2
    actions, projects = facts["actions"], facts["projects"]
    return {
        "newest": {},
        "anywhere": {"cursor": cursor},
        "user_busy": {"user": "person1", "cursor": cursor},
        "user_idle": {"user": "person200", "cursor": cursor},
        "user_any": {"user": lambda: f"person{dice.randint(1, 200)}"},
        "action": {"action": lambda: dice.choice(actions), "cursor": cursor},
        "action_prefix": {"action": lambda: dice.choice(actions).partition(":")[0] + ":"},
        "action_prefix_old": {
            "action": lambda: dice.choice(actions).partition(":")[0] + ":", "cursor": cursor,
        },
        "type": {"resource": lambda: dice.choice(actions).partition(":")[0], "cursor": cursor},
        "resource": {"resource": facts["resource"]},
        "project_busy": {"project": projects[0], "cursor": cursor},
        "project_idle": {"project": projects[-1], "cursor": cursor},
        "denied": {"outcome": "denied", "cursor": cursor},
        "address": {"address": facts["address"]},
        "network": {"address": "10.150.0.0/16"},
        "day": {"since": text(day), "until": text(day + timedelta(days=1))},
        "until": {"until": lambda: text(moment())},
        "text_rare": {"text": lambda: f"thing-{facts['first'] + dice.randrange(ROWS)}"},
        "text_word": {"text": lambda: f"w{dice.randint(1000, 4999)}"},
        "text_name": {"text": lambda: f"person{dice.randint(100, 200)}"},
        "text_in_all": {"text": "thing", "cursor": cursor},
        "user_and_action": {
            "user": lambda: f"person{dice.randint(1, 200)}", "action": lambda: dice.choice(actions),
        },
        "project_and_action": {
            "project": lambda: dice.choice(projects), "action": lambda: dice.choice(actions),
        },
        "project_and_time": {
            "project": lambda: dice.choice(projects), "until": lambda: text(moment()),
        },
        "user_and_time": {
            "user": lambda: f"person{dice.randint(1, 200)}", "until": lambda: text(moment()),
        },
        "project_and_user": {
            "project": lambda: dice.choice(projects),
            "user": lambda: f"person{dice.randint(1, 200)}",
        },
        "denied_in_project": {"outcome": "denied", "project": lambda: dice.choice(projects)},
        "denied_of_user": {"outcome": "denied", "user": lambda: f"person{dice.randint(1, 200)}"},
        "denied_action": {"outcome": "denied", "action": lambda: dice.choice(actions)},
        "text_of_user": {
            "text": lambda: f"w{dice.randint(1000, 4999)}",
            "user": lambda: f"person{dice.randint(1, 200)}",
        },
        "text_word_old": {"text": lambda: f"w{dice.randint(1000, 4999)}", "cursor": cursor},
    }  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
