"""Tests of the list of the platform's packages and their licences."""

from email.message import Message

import pytest

from aiplatform.server.ui.service.licences import licence_of
from tests.conftest import Api


def test_packages_of_server_are_listed_with_their_licences(admin: Api) -> None:
    found = admin.get("licences").json()
    licences = {package["name"].lower(): package["licence"] for package in found["python"]}
    assert licences["fastapi"] == "MIT"
    assert licences["aiplatform"] == "Apache-2.0"
    assert "starlette" in licences  # fastapi requires it
    assert "pytest" not in licences
    assert "unknown" not in {licences[name] for name in ("sqlalchemy", "psycopg", "httpx")}
    names = [package["name"] for package in found["python"]]
    assert len(names) == len(set(names)) > 30


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ([("License-Expression", "MIT"), ("License", "x")], "MIT"),
        (
            [
                ("Classifier", "License :: OSI Approved :: BSD License"),
                ("Classifier", "Topic :: Utilities"),
            ],
            "BSD License",
        ),
        ([("License", "Apache 2.0\n\nmore text")], "Apache 2.0"),
        ([("License", "w" * 300)], "unknown"),
        ([("Classifier", "License :: OSI Approved")], "unknown"),
        ([], "unknown"),
    ],
)
def test_licence_is_read_from_every_form_of_metadata(
    fields: list[tuple[str, str]], expected: str
) -> None:
    metadata = Message()
    for name, value in fields:
        metadata[name] = value
    assert licence_of(metadata) == expected
