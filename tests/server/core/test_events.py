"""Tests of wake-ups between processes through database notifications and broker messages."""

import asyncio
import time
from itertools import pairwise

import psycopg
import pytest
from sqlalchemy.orm import Session

from aiplatform.server.core import broker
from aiplatform.server.core.broker import Waker, broker_answers, send, task_queue
from aiplatform.server.core.database import commit
from aiplatform.server.core.events import CHANNEL, Listener, get_notifier, libpq_url, notify, wait
from tests.conftest import environment
from tests.servers import PostgresServer


class TestNotify:
    def test_notify_sends_each_topic_once_after_the_commit(
        self, session: Session, database_url: str
    ) -> None:
        with psycopg.connect(libpq_url(database_url), autocommit=True) as connection:
            connection.execute(f"LISTEN {CHANNEL}")
            for topic in ("task:1", "task:2", "task:1"):
                notify(session, topic)
            assert list(connection.notifies(timeout=0.3)) == []
            commit(session)
            told = [note.payload for note in connection.notifies(timeout=1)]
        assert sorted(told) == ["task:1", "task:2"]

    def test_notify_with_database_down_does_not_block(self) -> None:
        with environment(AIPLATFORM_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nowhere"):
            started = time.monotonic()
            for _ in range(100):
                get_notifier().notify("task:1")
            assert time.monotonic() - started < 0.5

    def test_lost_connection_is_reopened(
        self, session: Session, database_url: str, postgres: PostgresServer
    ) -> None:
        async def scenario() -> None:
            async with Listener(database_url) as listener, listener.watch("task:1") as event:
                await asyncio.wait_for(event.wait(), 5)  # set once after connecting
                event.clear()
                get_notifier().notify("task:1")
                await asyncio.wait_for(event.wait(), 5)
                event.clear()
                with postgres.connect() as connection:
                    connection.execute(
                        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                        " WHERE query LIKE 'LISTEN%' OR query LIKE '%pg_notify%'"
                        " AND pid <> pg_backend_pid()"
                    )
                await asyncio.wait_for(event.wait(), 5)  # something may have been missed
                event.clear()
                await asyncio.sleep(1.5)
                event.clear()
                get_notifier().notify("task:1")  # may be lost in the dead connection
                await asyncio.sleep(0.3)
                get_notifier().notify("task:1")
                await asyncio.wait_for(event.wait(), 5)

        asyncio.run(scenario())


class TestListener:
    def test_listener_wakes_only_watchers_of_the_topic(self, database_url: str) -> None:
        async def scenario() -> tuple[bool, bool]:
            async with (
                Listener(database_url) as listener,
                listener.watch("task:1") as one,
                listener.watch("task:2") as two,
            ):
                await asyncio.wait_for(one.wait(), 5)
                one.clear()
                two.clear()
                get_notifier().notify("task:1")
                await asyncio.wait_for(one.wait(), 5)
                return one.is_set(), two.is_set()

        assert asyncio.run(scenario()) == (True, False)

    def test_follower_gets_all_topics_of_its_family(self, database_url: str) -> None:
        told: list[str | None] = []

        async def scenario() -> None:
            async with Listener(database_url) as listener:
                with listener.follow("inbox", told.append):
                    await asyncio.sleep(0.3)  # after connecting, it is called with None
                    for topic in ("task:1", "inbox:7", "inbox:8"):
                        get_notifier().notify(topic)
                    await asyncio.sleep(0.3)
                get_notifier().notify("inbox:9")
                await asyncio.sleep(0.3)

        asyncio.run(asyncio.wait_for(scenario(), 10))
        assert told[0] is None
        assert sorted(told[1:], key=str) == ["7", "8"]

    def test_listener_forgets_ended_watchers(self, database_url: str) -> None:
        async def scenario() -> int:
            async with Listener(database_url) as listener:
                async with listener.watch("task:1"), listener.watch("task:1"):
                    pass
                return len(listener._watchers)

        assert asyncio.run(scenario()) == 0

    def test_wait_ends_after_the_poll_interval(self) -> None:
        async def scenario() -> float:
            event = asyncio.Event()
            started = time.monotonic()
            await wait(event)
            return time.monotonic() - started

        assert 0.9 < asyncio.run(scenario()) < 3


class TestBroker:
    def test_send_with_broker_down_returns_without_error(self, database_url: str) -> None:
        for url in (
            "redis://127.0.0.1:1/0",
            "redis+socket:///nowhere.sock?virtual_host=0",
            "amqp://127.0.0.1:1//",
        ):
            with environment(AIPLATFORM_BROKER_URL=url):
                started = time.monotonic()
                send("aiplatform.tasks.wake", task_queue("default"), queue="default")
                assert time.monotonic() - started < 3
                assert broker_answers() is False

    def test_broker_answers_if_it_is_up(self, broker: str) -> None:
        assert broker_answers() is True
        send("aiplatform.tasks.wake", task_queue("default"), queue="default")

    def test_waker_combines_wake_ups_and_sends_the_last(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        sent: list[str] = []
        monkeypatch.setattr(broker, "COALESCE_SECONDS", 0.3)
        monkeypatch.setattr(broker, "send", lambda *_, queue: sent.append(queue))
        waker = Waker()
        waker.wake("a")
        assert sent == ["a"], "a quiet queue is woken at once"
        waker.wake("b")
        for _ in range(50):
            waker.wake("a")
        assert sent == ["a", "b"]
        deadline = time.monotonic() + 10
        while len(sent) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sent == ["a", "b", "a"]
        waker.wake("a")
        while len(sent) < 4 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert sent == ["a", "b", "a", "a"], "who asks after it was sent has one sent again"

    def test_waker_under_load_lengthens_its_pause(self, monkeypatch: pytest.MonkeyPatch) -> None:
        sent: list[float] = []
        monkeypatch.setattr(broker, "COALESCE_SECONDS", 0.1)
        monkeypatch.setattr(broker, "LONGEST_COALESCE_SECONDS", 0.4)
        monkeypatch.setattr(broker, "send", lambda *_, queue: sent.append(time.monotonic()))
        waker = Waker()
        began = time.monotonic()
        while len(sent) < 6 and time.monotonic() < began + 20:
            waker.wake("a")
            time.sleep(0.005)
        assert sent[2] - sent[1] > 0.15
        assert all(later - sooner > 0.35 for sooner, later in pairwise(sent[3:]))
        time.sleep(0.6)
        quiet = time.monotonic()
        waker.wake("a")
        assert sent[-1] >= quiet, "after a rest a wake-up is sent at once"
