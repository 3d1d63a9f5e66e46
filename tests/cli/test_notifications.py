"""Tests of ``aiplatform notifications`` and ``webhooks``."""

import json
from collections.abc import Callable
from typing import Any

from tests.cli.conftest import Ran
from tests.client.fake import FakeServer, answer, page, sse
from tests.openapi_checks import Partial

Run = Callable[..., Ran]
P, W, D = (f"00000000-0000-4000-8000-00000000000{n}" for n in range(1, 4))
PROJECT = Partial({"uuid": P, "name": "demo", "status": "active"})
HOOK = Partial({"uuid": W, "project": P, "name": "chat", "url": "https://a.test/x", "events": []})
NOTE = Partial(
    {
        "uuid": D,
        "type": "task:failed",
        "title": "tune: failed",
        "message": "no \x1b[31mmemory",
        "created_at": "2026-11-24T08:00:00Z",
    }
)
LISTED = Partial({
    "uuid": D, "message_id": D, "type": "task:failed", "status": "delivered", "attempts": 1,
    "created_at": "2026-11-24T08:00:00Z",
})  # fmt: skip
DELIVERY = LISTED | Partial({
    "body": "{}",
    "calls": [{"attempt": 1, "started_at": "2026-11-24T08:00:00Z", "duration_ms": 7,
               "status_code": 204}],
})  # fmt: skip


def sent(server: FakeServer, method: str) -> list[tuple[str, Any]]:
    return [
        (request.url.path.removeprefix("/api/v1/"), json.loads(body) if body else None)
        for request, body in zip(server.requests, server.bodies, strict=True)
        if request.method == method
    ]


class TestNotifications:
    def test_ls_lists_notifications(self, server: FakeServer, run: Run) -> None:
        server.on("GET notifications", page(NOTE))
        shown = run("notifications", "ls", "--unread")
        assert shown.code == 0
        assert "tune: failed" in shown.out
        assert "\x1b" not in shown.out
        assert server.requests[-1].url.params["unread"] == "true"
        assert json.loads(run("notifications", "ls", "--json").out)[0]["uuid"] == D

    def test_unread_prints_the_number(self, server: FakeServer, run: Run) -> None:
        server.on("GET notifications/unread", answer({"unread": 3}))
        assert run("notifications", "unread").out == "3\n"
        assert json.loads(run("notifications", "unread", "--json").out) == {"unread": 3}

    def test_watch_with_after_continues_after_the_printed_event(
        self, server: FakeServer, run: Run
    ) -> None:
        refused = (None, "error", {"status": 403, "code": "x", "detail": "No."})
        server.on("GET notifications/stream", sse(("7-4", "notification", NOTE), refused))
        printed = json.loads(run("notifications", "watch", "--json").out)
        assert (printed["uuid"], printed["event_id"]) == (D, "7-4")
        run("notifications", "watch", "--after", printed["event_id"])
        assert server.requests[-1].headers["last-event-id"] == "7-4"

    def test_read_marks_one_or_all_as_read(self, server: FakeServer, run: Run) -> None:
        server.on("POST notifications/read", answer({"changed": 3}))
        server.on(f"POST notifications/{D}/read", answer(NOTE))
        assert "3" in run("notifications", "read").err
        assert json.loads(run("notifications", "read", D, "--json").out) == {"read": 1}

    def test_start_of_a_uuid_identifies_a_notification(self, server: FakeServer, run: Run) -> None:
        server.on("GET notifications", page(NOTE))
        server.on(f"POST notifications/{D}/read", answer(NOTE))
        server.on(f"DELETE notifications/{D}", answer(status=204))
        assert run("notifications", "read", D[:8]).code == 0
        assert run("notifications", "rm", D[:8]).code == 0
        assert run("notifications", "rm", "ffffffff").code == 2
        assert len(sent(server, "DELETE")) == 1

    def test_preferences_sends_the_changed_channels(self, server: FakeServer, run: Run) -> None:
        found = Partial({
            "email": "daily", "language": "en",
            "types": [{"type": "task:failed", "label": "Task failed", "inbox": True,
                       "email": False, "mandatory": False}],
        })  # fmt: skip
        server.on("GET notifications/preferences", answer(found, ETag='"1"'))
        server.on("PATCH notifications/preferences", answer(found))
        shown = run(
            "notifications", "preferences", "--email", "daily", "--no-mail", "task:failed",
            "--mail", "task:completed", "--no-inbox", "task:completed",
        )  # fmt: skip
        assert shown.code == 0
        assert "task:failed" in shown.out
        assert sent(server, "PATCH") == [
            ("notifications/preferences", {
                "email": "daily",
                "types": {"task:failed": {"email": False},
                          "task:completed": {"email": True, "inbox": False}},
            })
        ]  # fmt: skip


class TestWebhooks:
    def test_create_prints_the_secret(self, server: FakeServer, run: Run) -> None:
        server.on("GET projects", page(PROJECT))
        server.on(f"POST projects/{P}/webhooks", answer(HOOK | {"secret": "whsec_x"}, 201))
        shown = run("webhooks", "create", "chat", "https://a.test/x", "-e", "task:failed")
        assert "whsec_x" in shown.out
        assert "Keep the secret" in shown.err
        body = {"name": "chat", "url": "https://a.test/x", "events": ["task:failed"]}
        assert sent(server, "POST") == [(f"projects/{P}/webhooks", body)]

    def test_webhooks_and_deliveries_are_found_by_name_and_start_of_uuid(
        self, server: FakeServer, run: Run
    ) -> None:
        server.on("GET projects", page(PROJECT))
        server.on(f"GET projects/{P}/webhooks", page(HOOK))
        server.on(f"GET webhooks/{W}/deliveries", page(LISTED))
        server.on(f"GET webhooks/{W}/deliveries/{D}", answer(DELIVERY))
        server.on(f"POST webhooks/{W}/deliveries/{D}/replay", answer(LISTED, 202))
        server.on(f"POST webhooks/{W}/test", answer(LISTED, 202))
        assert "delivered" in run("webhooks", "deliveries", "chat").out
        assert "204" in run("webhooks", "deliveries", "chat", D).out
        assert run("webhooks", "replay", "chat", D).code == 0
        assert "204" in run("webhooks", "deliveries", "chat", D[:8]).out
        assert run("webhooks", "replay", "chat", D[:8]).code == 0
        assert run("webhooks", "replay", "chat", "ffffffff").code == 2
        assert "delivered: 204, 7 ms" in run("webhooks", "test", "chat").err

    def test_failed_ping_exits_with_1(self, server: FakeServer, run: Run) -> None:
        server.on("GET projects", page(PROJECT))
        failed = DELIVERY | {"status": "pending"}
        server.on(f"GET webhooks/{W}/deliveries/{D}", answer(failed))
        server.on(f"POST webhooks/{W}/test", answer(LISTED | {"status": "pending"}, 202))
        assert run("webhooks", "test", W).code == 1

    def test_rm_asks_for_confirmation(self, server: FakeServer, run: Run) -> None:
        server.on("GET projects", page(PROJECT))
        server.on(f"GET webhooks/{W}", answer(HOOK))
        server.on(f"DELETE webhooks/{W}", answer(None, 204))
        assert run("webhooks", "rm", W).code != 0
        assert sent(server, "DELETE") == []
        assert run("webhooks", "rm", W, "--yes").code == 0
        assert sent(server, "DELETE") == [(f"webhooks/{W}", None)]
