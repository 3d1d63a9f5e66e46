"""Tests of settings from the environment and from files."""

from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import SettingsError

from aiplatform.server.core.settings import Settings
from tests.conftest import environment


class TestFiles:
    def test_value_is_read_from_file(self, tmp_path: Path) -> None:
        for name, content in (("PASSWORD", "s3cret phrase\n"), ("URL", "postgresql://x@h/d")):
            (tmp_path / name).write_text(content)
        with environment(
            AIPLATFORM_ADMIN_PASSWORD_FILE=str(tmp_path / "PASSWORD"),
            AIPLATFORM_MIGRATION_DATABASE_URL_FILE=str(tmp_path / "URL"),
        ):
            settings = Settings()
        assert settings.admin_password.get_secret_value() == "s3cret phrase"
        assert settings.migration_database_url == "postgresql://x@h/d"

    def test_list_and_number_are_read_from_files(self, tmp_path: Path) -> None:
        (tmp_path / "hosts").write_text("a.example, b.example")
        (tmp_path / "port").write_text("8401")
        with environment(
            AIPLATFORM_ALLOWED_HOSTS_FILE=str(tmp_path / "hosts"),
            AIPLATFORM_PORT_FILE=str(tmp_path / "port"),
        ):
            settings = Settings()
        assert settings.allowed_hosts == ["a.example", "b.example"]
        assert settings.port == 8401

    def test_value_and_file_together_are_refused(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("x")
        with (
            environment(
                AIPLATFORM_ADMIN_PASSWORD="y", AIPLATFORM_ADMIN_PASSWORD_FILE=str(tmp_path / "x")
            ),
            pytest.raises(SettingsError, match="both set"),
        ):
            Settings()

    def test_missing_file_is_named(self) -> None:
        with (
            environment(AIPLATFORM_ADMIN_PASSWORD_FILE="/nowhere/x"),
            pytest.raises(SettingsError, match="/nowhere/x"),
        ):
            Settings()


@pytest.mark.parametrize("limit", ["", "x", "1", "1/fortnight", "-1/minute"])
def test_invalid_rate_limit_is_refused(limit: str) -> None:
    with environment(AIPLATFORM_RATE_LIMIT_NORMAL=limit), pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize("sender", ["Example, Inc. <no-reply@example.com>", "x@", "a b@c", "@"])
def test_invalid_mail_from_is_refused(sender: str) -> None:
    """Check that an invalid sender fails at startup, because no email could be sent later."""
    with environment(AIPLATFORM_MAIL_FROM=sender), pytest.raises(ValidationError):
        Settings()


@pytest.mark.parametrize(
    "sender", ["a@example.com", "AI <a@example.com>", '"Example, Inc." <a@example.com>']
)
def test_valid_mail_from_is_accepted(sender: str) -> None:
    with environment(AIPLATFORM_MAIL_FROM=sender):
        assert Settings().mail_from == sender
