"""Small fake programs in place of ``db upgrade``, ``server`` and ``worker``.

Like the real ones, they use the database, the broker's socket and the address that the supervisor
gives them. The environment variable ``FAULT_<NAME>`` makes one of them fail.
"""

import http.server
import json
import os
import signal
import socket
import sys
import time
from pathlib import Path

import psycopg

HEARTBEAT = Path(os.environ.get("AIPLATFORM_HOME", "/")) / "run" / "beat"


def upgrade() -> None:
    role = os.environ["AIPLATFORM_RUNTIME_ROLE"]
    with psycopg.connect(os.environ["AIPLATFORM_MIGRATION_DATABASE_URL"]) as connection:
        connection.execute('CREATE EXTENSION IF NOT EXISTS "uuid-ossp"')
        connection.execute('CREATE EXTENSION IF NOT EXISTS "pgcrypto"')
        connection.execute(
            "CREATE TABLE IF NOT EXISTS ledger "
            "(n serial PRIMARY KEY, id uuid NOT NULL DEFAULT uuid_generate_v4())"
        )
        connection.execute(f"GRANT SELECT, INSERT ON ledger TO {role}")
        connection.execute(f"GRANT USAGE ON SEQUENCE ledger_n_seq TO {role}")


def health(checks: dict[str, str]) -> tuple[int, dict[str, object]]:
    """Return the status and body of a response like that of the API's health route."""
    word = "ok" if set(checks.values()) == {"ok"} else "degraded"
    if checks["database"] != "ok":
        word = "down"
    parts = {name: {"ok": detail == "ok", "detail": detail} for name, detail in checks.items()}
    return (503 if word == "down" else 200), {"status": word, "version": "0", "checks": parts}


class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        broker = socket.socket(socket.AF_UNIX)
        checks = {"database": "ok", "broker": "ok", "workers": "ok"}
        try:
            broker.connect(os.environ["AIPLATFORM_BROKER_URL"].split("//")[1].split("?")[0])
            broker.sendall(b"PING\r\n")
            assert broker.recv(10).startswith(b"+PONG")
        except (OSError, AssertionError):
            checks["broker"] = "down"
        finally:
            broker.close()
        try:
            psycopg.connect(os.environ["AIPLATFORM_DATABASE_URL"], connect_timeout=2).close()
        except psycopg.Error:
            checks["database"] = "down"
        if not HEARTBEAT.exists() or time.time() - HEARTBEAT.stat().st_mtime > 2:
            checks["workers"] = "no heartbeat"
        status, found = health(checks)
        body = json.dumps(found).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args: object) -> None:
        pass


def server() -> None:
    address = (os.environ["AIPLATFORM_HOST"], int(os.environ["AIPLATFORM_PORT"]))
    listener = http.server.ThreadingHTTPServer(address, Health)
    # A second process with the same socket, as in servers with several workers. It must not keep
    # the port after the first process is killed.
    if os.fork() == 0:
        time.sleep(3600)
    signal.signal(signal.SIGTERM, lambda *_: os.killpg(0, signal.SIGKILL))
    listener.serve_forever()


def worker() -> None:
    def finish(*_: object) -> None:
        time.sleep(float(os.environ.get("FAULT_WORKER_SLOW_STOP", "0.2")))
        (HEARTBEAT.parent / "worker-finished").write_text("")
        sys.exit(0)

    signal.signal(signal.SIGTERM, finish)
    while True:
        HEARTBEAT.write_text("")
        time.sleep(0.2)


def main(name: str) -> None:
    fault = os.environ.get(f"FAULT_{name.upper()}")
    if fault == "exit":
        sys.exit(f"{name} can't work: this is the reason")
    if fault == "sleep":
        time.sleep(3600)
    {"db": upgrade, "server": server, "worker": worker}[name]()


if __name__ == "__main__":
    main(sys.argv[1])
