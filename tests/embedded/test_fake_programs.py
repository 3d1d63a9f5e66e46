"""Test that the fake server answers like the application."""

import json

import pytest

from tests.embedded.fake_programs import health
from tests.openapi_checks import platform


@pytest.mark.parametrize("down", [None, "broker", "database"])
def test_fake_health_matches_the_openapi_description(down: str | None) -> None:
    checks = {name: "down" if name == down else "ok" for name in ("database", "broker", "workers")}
    status, body = health(checks)
    headers = {"content-type": "application/json"}
    platform().check("GET", "/api/v1/health/details", status, headers, json.dumps(body).encode())
