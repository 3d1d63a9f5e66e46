"""Tests that the default password gives no access to a platform that others can reach."""

import pytest
from sqlalchemy import delete, select, update

from aiplatform.server.app import DefaultPasswordExposed, require_own_password
from aiplatform.server.core.database import transaction
from aiplatform.server.core.settings import get_settings
from aiplatform.server.identity import service
from aiplatform.server.identity.models import AuthSession, Role, User, UserSecurity
from aiplatform.server.identity.service import passwords
from tests.conftest import environment
from tests.factories import make_token

OPEN = {"AIPLATFORM_HOST": "0.0.0.0", "AIPLATFORM_ADMIN_PASSWORD": "admin123"}


def start(**settings: str) -> None:
    with environment(**OPEN | settings):
        require_own_password(get_settings())
        with transaction() as session:
            service.bootstrap(session, get_settings())


def opens(password: str) -> bool:
    with transaction() as session:
        admin = session.scalars(select(User).where(User.username == "admin")).one()
        return passwords.verify(password, admin.password_hash)[0]


class TestDefaultPasswordExposed:
    def test_empty_platform_with_the_default_password_does_not_start(
        self, fresh_database: str
    ) -> None:
        with pytest.raises(DefaultPasswordExposed, match="AIPLATFORM_ADMIN_PASSWORD_FILE"):
            start()
        start(AIPLATFORM_ADMIN_PASSWORD="quite another phrase")
        assert opens("quite another phrase")

    def test_platform_that_has_the_default_password_does_not_start(
        self, fresh_database: str
    ) -> None:
        start(AIPLATFORM_HOST="127.0.0.1")
        assert opens("admin123")
        with pytest.raises(DefaultPasswordExposed):
            start()

    def test_named_password_replaces_the_default_one(self, fresh_database: str) -> None:
        start(AIPLATFORM_HOST="127.0.0.1")
        start(AIPLATFORM_ADMIN_PASSWORD="quite another phrase")
        assert opens("quite another phrase")
        assert not opens("admin123")
        start()  # the default password is gone, so this start is allowed

    def test_own_password_is_never_replaced(self, fresh_database: str) -> None:
        start(AIPLATFORM_ADMIN_PASSWORD="my own phrase")
        start(AIPLATFORM_ADMIN_PASSWORD="something else here")
        assert opens("my own phrase")

    def test_default_password_is_allowed_on_loopback(self, fresh_database: str) -> None:
        for host in ("127.0.0.1", "localhost", "::1"):
            start(AIPLATFORM_HOST=host)

    @pytest.mark.parametrize("gone", [True, False])
    def test_platform_without_admin_is_exposed_only_if_it_is_empty(
        self, fresh_database: str, gone: bool
    ) -> None:
        start(AIPLATFORM_ADMIN_PASSWORD="my own phrase")
        with transaction() as session:
            session.execute(update(User).values(username="root"))
            if gone:
                session.execute(delete(User))
        if gone:
            with pytest.raises(DefaultPasswordExposed):
                start()
        else:
            start()

    @pytest.mark.parametrize(("role", "active"), [("keeper", True), ("admin", False)])
    def test_active_administrator_counts_whatever_the_role_is_called(
        self, fresh_database: str, role: str, active: bool
    ) -> None:
        start(AIPLATFORM_ADMIN_PASSWORD="my own phrase")
        with transaction() as session:
            session.add(Role(name="keeper", permissions=["*"]))
            session.flush()
            session.execute(update(User).values(username="root", role=role, is_active=active))
        if active:
            start()
        else:  # the start would create another administrator, with the default password
            with pytest.raises(DefaultPasswordExposed):
                start()

    def test_named_password_is_checked_and_its_change_recorded(self, fresh_database: str) -> None:
        start(AIPLATFORM_HOST="127.0.0.1")
        with transaction() as session:
            make_token(session, session.scalars(select(User)).one())
        # Strong enough for the default score of 3, but not for this platform's setting.
        start(AIPLATFORM_ADMIN_PASSWORD="kettle-bramble", AIPLATFORM_PASSWORD_MIN_SCORE="4")
        with transaction() as session:
            security = session.scalars(select(UserSecurity)).one()
            assert security.must_change_password
            assert security.password_changed_at is not None
            login = session.scalars(select(AuthSession)).one()
            assert login.end_reason == "password_changed"
