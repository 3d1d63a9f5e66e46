"""Statements for metric series and their levels, from which charts are drawn."""

from typing import Any, NamedTuple

from sqlalchemy import (
    Select,
    select,
    text,
)
from sqlalchemy.orm import Session

from aiplatform.server.telemetry.models import MetricPoint
from aiplatform.server.telemetry.rules import (
    LEAST_STEP,
    LEVELS,
    MOST_STEP,
    PIECE,
    PIECES_PER_PIECE,
    bucket_count,
)

POINTS_PER_PAGE = 2000


def points_after(task_id: int, after: int, *, limit: int = POINTS_PER_PAGE) -> Select[Any]:
    """Select the metric points with an id greater than ``after``, in order.

    Writers lock the task, so ids are in commit order.
    """
    return (
        select(MetricPoint)
        .where(MetricPoint.task_id == task_id, MetricPoint.id > after)
        .order_by(MetricPoint.id)
        .limit(limit)
    )


KEYS = text(
    """
WITH RECURSIVE found(key) AS (
    (SELECT key FROM metric_points WHERE task_id = :task_id ORDER BY key LIMIT 1)
    UNION ALL
    SELECT (SELECT p.key FROM metric_points p
            WHERE p.task_id = :task_id AND p.key > found.key ORDER BY p.key LIMIT 1)
    FROM found WHERE found.key IS NOT NULL
)
SELECT key FROM found WHERE key IS NOT NULL
"""
)
"""Statement that selects the keys of all of a task's series, with one index look-up per key.

Reading all points instead would take seconds.
"""


JSON = """'[' || step || ',' || CASE
    WHEN value = 'NaN' OR value = 'Infinity' OR value = '-Infinity' THEN '"' || value || '"'
    ELSE value::text END || ',' || at || ']'"""
"""SQL expression that formats a point as JSON. Floats keep their exact values."""


HISTORY = text(
    f"""
SELECT string_agg({JSON}, ',' ORDER BY step) FROM (
    SELECT DISTINCT ON (step) step, value, date_part('epoch', recorded_at) AS at
    FROM metric_points
    WHERE task_id = :task_id AND key = :key AND step >= :first AND step <= :last
    ORDER BY step DESC, attempt DESC, id DESC
    LIMIT :limit
) AS points
"""  # noqa: S608  (our own text)
)


RAW = """
SELECT step AS at_step, 1 AS points,
       CASE WHEN value <> 'NaN' THEN ARRAY[value, step, at] END AS low,
       CASE WHEN value <> 'NaN' THEN ARRAY[value, -step, at] END AS high,
       CASE WHEN value = 'NaN' THEN ARRAY[step, at] END AS nan
FROM (
    SELECT DISTINCT ON (step) step, value, date_part('epoch', recorded_at) AS at
    FROM metric_points
    WHERE task_id = :task_id AND key = :key AND step >= {first} AND step <= {last}
    ORDER BY step, attempt DESC, id DESC
) AS counting
"""


END = """
(SELECT step, value, date_part('epoch', recorded_at) AS at FROM metric_points
 WHERE task_id = :task_id AND key = :key AND step >= :first AND step <= :last
 ORDER BY step {order}, attempt DESC, id DESC LIMIT 1)
"""


CHART = text(
    f"""
WITH pieces AS MATERIALIZED (
    SELECT first_step AS at_step, points, low, high, nan FROM metric_levels
    WHERE task_id = :task_id AND key = :key AND level = :level
      AND first_step >= :inner AND first_step < :outer
    UNION ALL {RAW.format(first=":first", last="LEAST(:last, :before)")}
    UNION ALL {RAW.format(first=":outer", last=":last")}
),
whole AS (
    SELECT sum(points)::float8 AS points, bool_or(nan IS NOT NULL) AS has_nan FROM pieces
),
placed AS (
    SELECT p.*, floor((sum(p.points::float8) OVER (ORDER BY at_step) - p.points)
        * CASE WHEN whole.points <= :points THEN whole.points
               WHEN has_nan THEN :nan_buckets ELSE :buckets END / whole.points) AS bucket
    FROM pieces p CROSS JOIN whole
),
drawn AS MATERIALIZED (
    SELECT min(low) AS low, max(high) AS high, min(nan) AS nan FROM placed GROUP BY bucket
),
chosen AS (
    SELECT low[2]::bigint AS step, low[1] AS value, low[3] AS at FROM drawn WHERE low IS NOT NULL
    UNION SELECT -high[2]::bigint, high[1], high[3] FROM drawn WHERE high IS NOT NULL
    UNION SELECT nan[1]::bigint, 'NaN', nan[2] FROM drawn WHERE nan IS NOT NULL
    UNION {END.format(order="")}
    UNION {END.format(order="DESC")}
)
SELECT (SELECT points::bigint FROM whole), string_agg({JSON}, ',' ORDER BY step) FROM chosen
"""  # noqa: S608  (our own text)
)
"""Statement that selects the points of a chart and the total number of points in the series.

A chart has the smallest, the largest and the first NaN value of each bucket, and both ends of the
series. Where possible, they are computed from ``metric_levels``.
"""


PIECES = """
WITH fresh AS MATERIALIZED ({fresh}),
ends AS (
    SELECT key, max(step) AS most, (SELECT max(l.first_step) FROM metric_levels l
        WHERE l.task_id = :task_id AND l.key = fresh.key AND l.level = {level}) AS newest
    FROM fresh GROUP BY key
),
touched AS (
    -- Nearly always what is new comes after what was there, and belongs to the newest piece.
    SELECT key, COALESCE(newest, :least) AS first_step FROM ends
    WHERE newest IS NULL OR most >= newest
    UNION
    SELECT fresh.key, (SELECT max(l.first_step) FROM metric_levels l
                       WHERE l.task_id = :task_id AND l.key = fresh.key AND l.level = {level}
                         AND l.first_step <= fresh.step)
    FROM fresh JOIN ends USING (key) WHERE fresh.step < ends.newest
),
ranges AS MATERIALIZED (
    SELECT key, first_step,
           COALESCE((SELECT min(l.first_step) FROM metric_levels l
                     WHERE l.task_id = :task_id AND l.key = touched.key AND l.level = {level}
                       AND l.first_step > touched.first_step) - 1, :most) AS last_step
    FROM touched
),
numbered AS (
    SELECT r.key, r.first_step, p.*,
           -- What is left over stays with the last piece: late points would leave crumbs else.
           LEAST(
               (row_number() OVER (PARTITION BY r.key, r.first_step ORDER BY p.step) - 1) / :width,
               GREATEST(count(*) OVER (PARTITION BY r.key, r.first_step) / :width - 1, 0))
               AS place
    FROM ranges r CROSS JOIN LATERAL ({source}) AS p
)
INSERT INTO metric_levels (task_id, key, level, first_step, points, low, high, nan)
SELECT :task_id, key, {level}, CASE WHEN place = 0 THEN first_step ELSE min(step) END, {made}
FROM numbered GROUP BY key, first_step, place
ON CONFLICT (task_id, key, level, first_step) DO UPDATE
SET points = EXCLUDED.points, low = EXCLUDED.low, high = EXCLUDED.high, nan = EXCLUDED.nan
RETURNING key, first_step
"""
"""Statement that updates one rollup level of a task's series after new points were added.

A level divides a series into pieces, and stores the number of points, the extremes and the first
NaN of each piece (table ``metric_levels``). The pieces that contain new points are recomputed. A
piece that has grown to twice the usual length (``PIECE`` points, ``PIECES_PER_PIECE`` pieces) is
split.
"""


FROM_POINTS = text(
    PIECES.format(
        level=1,
        fresh="SELECT key, step FROM metric_points "
        "WHERE task_id = :task_id AND id > :after AND id <= :up_to",
        source="""
        SELECT DISTINCT ON (step) step, value, date_part('epoch', recorded_at) AS at
        FROM metric_points
        WHERE task_id = :task_id AND key = r.key AND step >= r.first_step AND step <= r.last_step
          AND id <= :up_to
        ORDER BY step, attempt DESC, id DESC""",
        made="""count(*),
        min(ARRAY[value, step, at]) FILTER (WHERE value <> 'NaN'),
        max(ARRAY[value, -step, at]) FILTER (WHERE value <> 'NaN'),
        min(ARRAY[step, at]) FILTER (WHERE value = 'NaN')""",
    )
)


FROM_PIECES = [
    text(
        PIECES.format(
            level=level,
            fresh="SELECT * FROM unnest(CAST(:keys AS text[]), CAST(:steps AS bigint[])) "
            "AS pieces(key, step)",
            source=f"""
            SELECT l.first_step AS step, l.points, l.low, l.high, l.nan FROM metric_levels l
            WHERE l.task_id = :task_id AND l.key = r.key AND l.level = {level - 1}
              AND l.first_step >= r.first_step AND l.first_step <= r.last_step""",  # noqa: S608
            made="sum(points), min(low), max(high), min(nan)",
        )
    )
    for level in range(2, LEVELS + 1)
]


SUMMARY = text(
    f"""
SELECT whole.*, oldest.*, newest.* FROM (
    SELECT key, sum(points)::bigint AS points, min(low) AS low, max(high) AS high, min(nan) AS nan
    FROM metric_levels WHERE task_id = :task_id AND level = {LEVELS} GROUP BY key
) AS whole
CROSS JOIN LATERAL {END.format(order="").replace(":key", "whole.key")}
    AS oldest(first_step, first_value, first_at)
CROSS JOIN LATERAL {END.format(order="DESC").replace(":key", "whole.key")}
    AS newest(last_step, last_value, last_at)
ORDER BY key
"""  # noqa: S608  (our own text)
)


class Chart(NamedTuple):
    """A chart of a series.

    ``json`` is the list of its points; ``total`` is the number of points in the full series.
    """

    total: int
    json: str


def keys_of(session: Session, task_id: int) -> list[str]:
    """Return the keys of all of a task's series, sorted."""
    return list(session.scalars(KEYS, {"task_id": task_id}))


def history(
    session: Session,
    task_id: int,
    key: str,
    *,
    first: int = LEAST_STEP,
    last: int = MOST_STEP,
    limit: int,
) -> str:
    """Return the last ``limit`` points of a series between two steps as JSON, sorted by step.

    Each point is ``[step, value, seconds since the epoch]``. The database creates the JSON text,
    because creating Python objects first took ten times as long.
    """
    values = {"task_id": task_id, "key": key, "first": first, "last": last, "limit": limit}
    return f"[{session.scalar(HISTORY, values) or ''}]"


def chart(
    session: Session,
    task_id: int,
    key: str,
    *,
    first: int = LEAST_STEP,
    last: int = MOST_STEP,
    points: int,
) -> Chart:
    """Return a series between two steps with at most ``points`` points, keeping every peak.

    The series is divided into buckets with the same number of points. Each bucket keeps its
    smallest and its largest value, with their steps. A series with at most ``points`` points is
    returned in full.
    """
    values: dict[str, Any] = {"task_id": task_id, "key": key, "first": first, "last": last}
    buckets = bucket_count(points)
    # Use the coarsest level with at least one piece for every other bucket, or else the points
    # themselves.
    level, inner, outer = 0, MOST_STEP, MOST_STEP
    for candidate in range(LEVELS, 0, -1):
        found, least, most = session.execute(
            text(
                "SELECT count(*), min(first_step), max(first_step) FROM metric_levels "
                "WHERE task_id = :task_id AND key = :key AND level = :level "
                "AND first_step >= :first AND first_step <= :last"
            ),
            {**values, "level": candidate},
        ).one()
        if found * 2 > buckets + 2:
            # The piece that contains the last step may reach beyond it.
            level, inner, outer = candidate, least, MOST_STEP if last == MOST_STEP else most
            break
    total, drawn = session.execute(
        CHART,
        {
            **values,
            "level": level,
            "inner": inner,
            "before": max(LEAST_STEP, inner - 1),
            "outer": outer,
            "points": points,
            "buckets": buckets,
            "nan_buckets": bucket_count(points, of_each=3),
        },
    ).one()
    return Chart(total or 0, f"[{drawn or ''}]")


def summary(session: Session, task_id: int) -> list[Any]:
    """Return one row of summary values for each of a task's series, sorted by key.

    The task's levels must be up to date; see ``service.rollups``.
    """
    values = {"task_id": task_id, "first": LEAST_STEP, "last": MOST_STEP}
    return list(session.execute(SUMMARY, values))


def add_to_levels(session: Session, task_id: int, *, after: int, up_to: int) -> None:
    """Add the points with ids in ``(after, up_to]`` to the levels of the task's series.

    All points with such ids must already be committed.
    """
    common = {"task_id": task_id, "least": LEAST_STEP, "most": MOST_STEP}
    points = {"after": after, "up_to": up_to, "width": PIECE}
    made = session.execute(FROM_POINTS, {**common, **points}).all()
    for statement in FROM_PIECES:
        keys, steps = [row.key for row in made], [row.first_step for row in made]
        pieces = {"keys": keys, "steps": steps, "width": PIECES_PER_PIECE}
        made = session.execute(statement, {**common, **pieces}).all()
