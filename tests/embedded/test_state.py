from pathlib import Path

import pytest

from aiplatform.embedded.health import Health, HealthCheck
from aiplatform.embedded.home import Home
from aiplatform.embedded.logs import MAX_BYTES, open_log, tail
from aiplatform.embedded.state import (
    Phase,
    ServiceRecord,
    ServiceState,
    State,
    read_state,
    remove_state,
    write_state,
)


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path)
    home.run.mkdir()
    return home


def a_state() -> State:
    return State(
        run_id="r",
        pid=1,
        identity=None,
        home="/h",
        host="127.0.0.1",
        port=8400,
        url="http://127.0.0.1:8400",
        database_url="postgresql://",
        broker_url="redis+socket://",
        storage_url="file:///",
        socket_dir="/tmp/x",
        started_at="2026-01-01T00:00:00+00:00",
        services=[ServiceRecord("api", state=ServiceState.RUNNING, pid=7, restarts=2)],
    )


def test_read_state_returns_the_written_state(home: Home) -> None:
    assert read_state(home) is None
    write_state(home, a_state())
    assert read_state(home) == a_state()
    assert [path.name for path in home.run.iterdir()] == ["state.json"]
    remove_state(home)
    remove_state(home)
    assert read_state(home) is None


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"phase": "unheard of"}', "null", "\xff"])
def test_read_state_of_a_damaged_file_is_none(home: Home, text: str) -> None:
    home.state_file.write_bytes(text.encode("latin-1"))
    assert read_state(home) is None


def test_from_dict_ignores_unknown_fields(home: Home) -> None:
    data = a_state().as_dict() | {"novelty": 1}
    data["services"][0]["novelty"] = 2
    assert State.from_dict(data).phase is Phase.STARTING


def test_wanting_names_the_parts_that_do_not_work() -> None:
    health = Health(
        "degraded",
        {"database": HealthCheck(True, "answers"), "workers": HealthCheck(False, "no heartbeat")},
    )
    assert not health.is_ok
    assert health.failed_parts == ["workers (no heartbeat)"]


def test_open_log_renames_a_large_log(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    path.write_bytes(b"old" + b"x" * MAX_BYTES)
    with open_log(path) as log:
        log.write(b"new\n")
    assert path.read_bytes() == b"new\n"
    assert path.with_name("x.log.1").stat().st_size == MAX_BYTES + 3
    with open_log(path) as log:
        log.write(b"more\n")
    assert path.read_bytes() == b"new\nmore\n"


def test_tail_returns_the_last_lines(tmp_path: Path) -> None:
    path = tmp_path / "x.log"
    assert tail(path) == ""
    path.write_bytes(b"one\ntwo\n\xff three\n")
    assert tail(path, lines=2) == "two\n\ufffd three"
    assert tail(path, since=4) == "two\n\ufffd three"
    # A position beyond the end means that the log was renamed in the meantime.
    assert tail(path, since=10_000) == "one\ntwo\n\ufffd three"
