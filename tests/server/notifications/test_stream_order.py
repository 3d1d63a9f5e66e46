"""Tests of the order of streamed notifications, none of which may be lost or sent twice."""

import threading
import time
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from aiplatform.protocol.notifications import NotificationType as N
from aiplatform.server.core.database import commit, session_factory, transaction
from aiplatform.server.notifications.service import announce, stream
from tests.factories import make_notification, make_token, make_user
from tests.server.notifications.stream_client import tell


class TestOrder:
    def test_notification_of_a_slow_transaction_is_not_skipped(
        self, session: Session, watch: Any, database_url: str
    ) -> None:
        """Let the transaction with the lower notification id commit last."""
        user = make_user(session)
        token = make_token(session, user)
        watcher = watch(token)
        with session_factory()() as slow:
            announce(slow, N.TASK_COMPLETED, to=[user.id], name="slow")  # the id is assigned here
            tell(session, user, "fast")
            time.sleep(0.4)
            # ``fast`` is committed, but sending it now would move the position past ``slow``.
            assert watcher.names() == []
            commit(slow)
        watcher.until(lambda w: len(w.names()) == 2)
        assert watcher.names() == ["slow", "fast"]

    @pytest.mark.parametrize("stranger_writes", [False, True])
    def test_position_taken_during_a_slow_transaction_loses_nothing(
        self, stranger_writes: bool, session: Session, watch: Any, database_url: str
    ) -> None:
        user = make_user(session)
        token = make_token(session, user)
        watcher = watch(token)
        tell(session, user, "before")
        watcher.until(lambda w: w.names() == ["before"])
        with session_factory()() as slow:
            if stranger_writes:
                announce(slow, N.TASK_COMPLETED, to=[make_user(session).id], name="foreign")
            announce(slow, N.TASK_COMPLETED, to=[user.id], name="slow")
            tell(session, user, "fast")
            watcher.close()
            again = watch(token, watcher.last())
            assert again.names() == []
            commit(slow)
        again.until(lambda w: len(w.names()) == 2)
        assert again.names() == ["slow", "fast"]

    def test_late_number_of_an_early_transaction_is_sent(
        self, session: Session, watch: Any
    ) -> None:
        """Give the higher notification id to the transaction with the lower number."""
        user = make_user(session)
        token = make_token(session, user)
        watcher = watch(token)
        with session_factory()() as early, session_factory()() as late:
            early.execute(text("SELECT pg_current_xact_id()"))
            late.execute(text("SELECT pg_current_xact_id()"))
            announce(late, N.TASK_COMPLETED, to=[user.id], name="late")
            announce(early, N.TASK_COMPLETED, to=[user.id], name="early")
            commit(early)
            watcher.until(lambda w: w.names() == ["early"])
            watcher.close()
            again = watch(token, watcher.last())
            commit(late)
            again.until(lambda w: bool(w.names()))
            assert again.names() == ["late"]

    def test_concurrent_writers_and_reconnections_lose_and_repeat_nothing(
        self, session: Session, watch: Any
    ) -> None:
        user = make_user(session)
        token = make_token(session, user)
        writers, each = 6, 25

        def write(number: int) -> None:
            for turn in range(each):
                with transaction() as mine:
                    mine.execute(text("SELECT pg_current_xact_id()"))
                    if turn % 5 == number % 5:
                        time.sleep(0.02)
                    announce(mine, N.TASK_COMPLETED, to=[user.id], name=f"{number}-{turn}")
                    if turn % 7 == 0:
                        time.sleep(0.01)

        watcher = watch(token)
        threads = [threading.Thread(target=write, args=(n,)) for n in range(writers)]
        for thread in threads:
            thread.start()
        seen: list[str] = []
        while any(thread.is_alive() for thread in threads):
            time.sleep(0.15)
            watcher.close()
            # Only complete events count. The stream continues after the id of the last complete
            # one.
            events = list(watcher.events)
            seen += [d["data"]["name"] for kind, d, _ in events if kind == "notification"]
            last = next(id_ for _, _, id_ in reversed(events) if id_ is not None)
            watcher = watch(token, last)
        watcher.until(lambda w: len(seen) + len(w.names()) >= writers * each)
        time.sleep(0.3)
        seen += watcher.names()
        assert len(seen) == len(set(seen)) == writers * each

    def test_id_of_another_database_starts_a_new_stream(self, session: Session, watch: Any) -> None:
        user = make_user(session)
        watcher = watch(make_token(session, user), f"{2**62}-1")
        tell(session, user, "new")
        watcher.until(lambda w: w.names() == ["new"])

    @pytest.mark.parametrize("last", ["", "nonsense", "1", "-1-1", "9" * 40, "1-1; DROP TABLE x"])
    def test_invalid_id_starts_a_new_stream(self, last: str, session: Session, watch: Any) -> None:
        user = make_user(session)
        make_notification(session, user)
        assert watch(make_token(session, user), last).kinds()[0] == "ready"

    def test_first_position_sends_all_notifications(
        self, session: Session, watch: Any, monkeypatch: Any
    ) -> None:
        monkeypatch.setattr(stream, "PAGE", 3)
        user = make_user(session)
        tell(session, user, *map(str, range(10)))
        watcher = watch(make_token(session, user), "0-0")
        assert watcher.names() == [str(number) for number in range(10)]
        # The number of unread notifications may follow, but no notification.
        assert "ready" in watcher.kinds()[-2:]


def test_restored_rows_are_not_waited_for(session: Session, watch: Any) -> None:
    """Restore rows with transaction numbers that the new database server has not yet reached."""
    from aiplatform.server.notifications.queries import settle_restored

    user = make_user(session)
    tell(session, user, "restored")
    session.execute(text("UPDATE notification_details SET transaction_id = '999999999999'"))
    session.commit()
    settle_restored(session)
    session.commit()
    watcher = watch(make_token(session, user), "0-0")
    assert watcher.names() == ["restored"]
