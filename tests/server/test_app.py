"""Tests of the whole application: rate limits of its routes, and libraries that it loads."""

import re
import subprocess
import sys
from typing import Any

import pytest
from fastapi import FastAPI

from aiplatform.server.app import NORMAL_LIMIT_ROUTES, Buckets
from aiplatform.server.core.description import DescribedApp
from aiplatform.server.identity.access import Public, SignedIn
from tests.access_table import PUBLIC, TABLE

HARMLESS = {
    "GET /api/v1/auth/oidc",
    "GET /api/v1/auth/oidc/login",
    "GET /api/v1/auth/oidc/callback",
    "GET /api/v1/health",
    "GET /api/v1/health/details",
    *(key for key in PUBLIC if key.endswith("/v1/{path:path}")),
}
"""Public routes that give attackers nothing to guess. Extend this set only deliberately."""


@pytest.fixture
def buckets(app: FastAPI) -> Buckets:
    made = Buckets()
    made.add_public_routes(app)
    return made


def bucket(buckets: Buckets, key: str) -> str:
    method, _, path = key.partition(" ")
    path = re.sub(r"{[^}]+}", "x", path)
    return buckets({"type": "http", "method": method, "path": path, "headers": []})


@pytest.mark.parametrize("key", sorted(PUBLIC))
def test_buckets_of_public_route_is_login_unless_harmless(buckets: Buckets, key: str) -> None:
    assert (bucket(buckets, key) == "login") is (key not in HARMLESS)


def test_buckets_login_is_used_by_public_routes_only(buckets: Buckets) -> None:
    found = {a.key for a in TABLE if bucket(buckets, a.key) == "login"}
    assert found == PUBLIC - HARMLESS


def test_buckets_of_new_public_route_is_login_by_default() -> None:
    app = DescribedApp()

    @app.post("/api/v1/somewhere/{code}/redeem")
    def redeem(code: str, _: Public) -> str:
        return code

    @app.post("/api/v1/elsewhere")
    def signed_in(_: SignedIn) -> None: ...

    buckets = Buckets()
    buckets.add_public_routes(app)
    assert bucket(buckets, "POST /api/v1/somewhere/x/redeem") == "login"
    assert bucket(buckets, "GET /api/v1/somewhere/x/redeem") == "normal"
    assert bucket(buckets, "POST /api/v1/elsewhere") == "normal"


def test_open_names_only_existing_routes(app: FastAPI) -> None:
    names: set[Any] = {getattr(route, "name", None) for route in app.routes}
    assert names >= NORMAL_LIMIT_ROUTES


def test_api_and_worker_load_no_libraries_that_only_their_children_use(database_url: str) -> None:
    code = (
        "import sys, aiplatform.server.worker, pyarrow\n"
        "from aiplatform.server.app import served_app\n"
        "served_app()\n"
        "pyarrow.array([1])\n"  # would import pandas if it were installed
        "heavy = {'datasets', 'pandas', 'polars', 'scipy', 'sklearn', 'torch', 'transformers'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
