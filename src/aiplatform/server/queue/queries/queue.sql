-- The queue in SQL: its order, its first task for a worker, starting that task, and positions.
--
-- Waiting tasks are sorted, ascending, by (-level, usage, since, id); rules/order.py explains why.
-- task_level() and usage_share() are functions of the database, and a test compares the order with
-- rules.order_key(). The alias of task_scheduling is `s`, that of project_usage `u`.
--
-- In the index, the tasks of one queue, priority and project form a line, in the order in which
-- they are started, so the queue is a merge of these lines.

-- name: pick
-- A loose index scan finds the head of each line, the heads are sorted, and only the first :lines
-- lines are read, each :depth tasks deep. At first only lines that can contain a task at the top
-- level are considered. At each priority, the oldest task has the highest level.
WITH RECURSIVE
    now AS (SELECT COALESCE(CAST(:now AS timestamptz), now()) AS at),
    oldest AS (
        SELECT s.queue, s.priority, task_level(s.priority, s.since, now.at) AS level
        FROM unnest(CAST(:queues AS text[])) q(queue) CROSS JOIN generate_series(1, 10) p
        CROSS JOIN now CROSS JOIN LATERAL (
            SELECT s.queue, s.priority, s.since FROM task_scheduling s
            WHERE s.waiting AND s.queue = q.queue AND s.priority = p ORDER BY s.since LIMIT 1
        ) AS s
    ),
    top AS (SELECT max(level) AS level FROM oldest),
    lines AS (
        SELECT h.* FROM oldest o CROSS JOIN top CROSS JOIN LATERAL (
            SELECT s.queue, s.priority, s.project_id, s.since, s.task_id FROM task_scheduling s
            WHERE s.waiting AND s.queue = o.queue AND s.priority = o.priority
            ORDER BY s.project_id, s.since, s.task_id LIMIT 1
        ) AS h
        WHERE :all_levels OR o.level = top.level
        UNION ALL
        SELECT h.* FROM lines l CROSS JOIN LATERAL (
            SELECT s.queue, s.priority, s.project_id, s.since, s.task_id FROM task_scheduling s
            WHERE s.waiting AND s.queue = l.queue AND s.priority = l.priority
              AND s.project_id > l.project_id
            ORDER BY s.project_id, s.since, s.task_id LIMIT 1
        ) AS h
    ),
    ranked AS (
        SELECT x.*, row_number() OVER (ORDER BY first, usage, since, task_id) AS place
        FROM (
            SELECT l.*, -task_level(l.priority, l.since, now.at) AS first,
                   COALESCE(usage_share(u.usage, u.rate, u.as_of, now.at), 0) AS usage,
                   q.gpus - COALESCE(u.gpus, 0) AS room,
                   q.tasks IS NOT NULL OR q.gpus IS NOT NULL AS has_quota
            FROM lines l CROSS JOIN now JOIN projects p ON p.id = l.project_id
            LEFT JOIN project_usage u ON u.project_id = p.id
            LEFT JOIN project_quotas pq ON pq.project_id = p.id
            CROSS JOIN LATERAL (
                SELECT COALESCE(pq.concurrent_tasks, CAST(:quota_tasks AS int)) AS tasks,
                       COALESCE(pq.gpus, CAST(:quota_gpus AS int)) AS gpus
            ) AS q
            WHERE COALESCE(p.status, 'active') = 'active'
              AND COALESCE(COALESCE(u.running, 0) < q.tasks, true)
        ) AS x
    ),
    -- The head of a line sorts before the rest of the line. Tasks that sort before the head of the
    -- first unread line are therefore final; the others are left to a second search of all lines.
    bound AS (
        SELECT first, usage, since, task_id FROM ranked WHERE place = :lines + 1
        UNION ALL SELECT 1 - level, -1, '-infinity', 0 FROM top
        WHERE NOT :all_levels AND level IS NOT NULL
    ),
    -- rules.Room.holds: devices are the memory of each, largest first.
    able AS (
        SELECT c.*, -task_level(c.priority, c.since, now.at) AS first, r.usage, r.has_quota
        FROM ranked r CROSS JOIN now CROSS JOIN LATERAL (
            SELECT s.task_id, s.priority, s.since, s.gpus, s.gpu_memory_mb, s.nodes, w.fits
            FROM task_scheduling s CROSS JOIN LATERAL (
                SELECT s.cpus <= :free_cpus AND s.memory_mb <= :free_mb AND (s.gpus = 0 OR
                    COALESCE((CAST(:free_devices AS int[]))[s.gpus] >= s.gpu_memory_mb, false)
                ) AS fits
            ) AS w
            WHERE s.waiting AND s.queue = r.queue AND s.project_id = r.project_id
              AND s.priority = r.priority
              AND (s.not_before IS NULL OR s.not_before <= now.at)
              AND (s.labels = '[]' OR s.labels <@ CAST(:labels AS jsonb))
              AND s.cpus <= :total_cpus AND s.memory_mb <= :total_mb AND (s.gpus = 0 OR
                  COALESCE((CAST(:total_devices AS int[]))[s.gpus] >= s.gpu_memory_mb, false))
              AND s.task_id <> ALL(CAST(:excluded AS int[]))
              AND COALESCE(s.gpus = 0 OR s.gpus * s.nodes <= r.room, true)
              AND (:blocked_too OR w.fits)
            ORDER BY s.since, s.task_id LIMIT :depth
        ) AS c
        WHERE r.place <= :lines
    ),
    final AS (
        SELECT c.* FROM able c
        WHERE NOT EXISTS (
            SELECT FROM bound b
            WHERE (b.first, b.usage, b.since, b.task_id) < (c.first, c.usage, c.since, c.task_id)
        )
        ORDER BY first, usage, since, task_id LIMIT :depth
    ),
    blocked AS (
        SELECT * FROM final WHERE NOT fits ORDER BY first, usage, since, task_id LIMIT 1
    ),
    picked AS (
        SELECT t.id, t.project_id, f.gpus, f.gpu_memory_mb, f.nodes, f.has_quota
        FROM final f JOIN tasks t ON t.id = f.task_id
        WHERE t.status = 'pending' AND t.project_id IS NOT NULL AND f.fits
          AND NOT EXISTS (
            SELECT FROM blocked b
            WHERE (b.first, b.usage, b.since, b.task_id) < (f.first, f.usage, f.since, f.task_id)
          )
        ORDER BY first, usage, since, task_id LIMIT 1
        FOR UPDATE OF t SKIP LOCKED
    )
-- The setting aiplatform.starts has the id of a task that `start` may start in the same round trip:
-- a task that needs no devices and whose project has no quota.
SELECT (SELECT task_id FROM blocked), (SELECT count(*) FROM final) >= :depth,
       EXISTS (SELECT FROM bound), picked.*,
       set_config('aiplatform.starts',
           CASE WHEN gpus = 0 AND NOT has_quota THEN id::text ELSE '' END, true)
FROM (SELECT) one LEFT JOIN picked ON true

-- name: ahead
-- The number of tasks ahead of a task in its queue.
WITH now AS (SELECT COALESCE(CAST(:now AS timestamptz), CURRENT_TIMESTAMP) AS at),
    mine AS (
        SELECT s.queue, -task_level(s.priority, s.since, now.at) AS first,
               COALESCE(usage_share(u.usage, u.rate, u.as_of, now.at), 0) AS usage,
               s.since, s.task_id
        FROM task_scheduling s CROSS JOIN now
        LEFT JOIN project_usage u ON u.project_id = s.project_id
        WHERE s.task_id = :task_id AND s.waiting
    )
SELECT (SELECT count(*) FROM mine) AS waits, count(*) AS ahead
FROM mine CROSS JOIN now
JOIN task_scheduling s ON s.queue = mine.queue AND s.waiting AND s.task_id <> mine.task_id
LEFT JOIN project_usage u ON u.project_id = s.project_id
WHERE (-task_level(s.priority, s.since, now.at),
       COALESCE(usage_share(u.usage, u.rate, u.as_of, now.at), 0), s.since, s.task_id)
    < (mine.first, mine.usage, mine.since, mine.task_id)

-- name: places
-- The positions of several tasks in their queues; 1 is next.
WITH now AS (SELECT CURRENT_TIMESTAMP AS at)
SELECT task_id, place FROM (
    SELECT s.task_id, s.queue, row_number() OVER (
        PARTITION BY s.queue
        ORDER BY -task_level(s.priority, s.since, now.at),
                 COALESCE(usage_share(u.usage, u.rate, u.as_of, now.at), 0), s.since, s.task_id
    ) AS place
    FROM task_scheduling s CROSS JOIN now LEFT JOIN project_usage u ON u.project_id = s.project_id
    WHERE s.waiting AND s.queue = ANY(CAST(:queues AS text[]))
) AS places
WHERE task_id = ANY(CAST(:task_ids AS integer[]))

-- name: start
-- Starting a task: all writes except the status are in one statement, because claims are the
-- busiest path of the queue. Without a :task_id, this starts the task that `pick` has found in the
-- same round trip, if that task needs no further check. A reservation that another claim has locked
-- is left to that claim, which may be waiting for rows that this claim has locked. others_wait
-- sorts in the order of the index; otherwise the planner might search a million ended tasks for a
-- waiting one.
WITH picked AS MATERIALIZED (
        SELECT COALESCE(CAST(:task_id AS int),
            CAST(NULLIF(current_setting('aiplatform.starts', true), '') AS int)) AS id
    ),
    promise AS (
        DELETE FROM task_reservations WHERE task_id IN (
            SELECT task_id FROM task_reservations WHERE task_id = (SELECT id FROM picked)
            FOR UPDATE SKIP LOCKED)
    ),
    started AS (
        UPDATE task_scheduling SET attempt = attempt + 1, fence = fence + 1, not_before = NULL,
               stop_wanted = NULL, waiting = false, updated_at = clock_timestamp()
        WHERE task_id = (SELECT id FROM picked)
        RETURNING task_id, queue, attempt, fence, cpus, memory_mb, nodes, project_id
    ),
    lease AS (
        INSERT INTO task_leases (task_id, worker_id, project_id, attempt, fence, cpus, memory_mb,
                                 gpu_indices)
        SELECT task_id, :worker_id, project_id, attempt, fence, cpus, memory_mb,
               CAST(:gpus AS jsonb)
        FROM started
    ),
    gang AS (
        INSERT INTO task_gangs (task_id, fence, nodes)
        SELECT task_id, fence, nodes FROM started WHERE nodes > 1
    ),
    attempt AS (
        INSERT INTO task_attempts (task_id, attempt, fence, worker)
        SELECT task_id, attempt, fence, :worker FROM started
    ),
    event AS (
        INSERT INTO task_events (task_id, kind, data)
        SELECT task_id, 'claimed',
               jsonb_build_object('worker', CAST(:worker AS text), 'attempt', attempt)
        FROM started
    )
SELECT queue, attempt, fence, nodes,
       EXISTS (
           SELECT FROM unnest(CAST(:queues AS text[])) q(queue) CROSS JOIN LATERAL (
               SELECT FROM task_scheduling s
               WHERE s.waiting AND s.queue = q.queue AND s.task_id <> started.task_id
               ORDER BY s.priority LIMIT 1
           ) AS first
       ) OR EXISTS (SELECT FROM task_gangs WHERE state = 'gathering') AS others_wait
FROM started
