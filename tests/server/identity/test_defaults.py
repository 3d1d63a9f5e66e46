"""The password that everybody knows opens nothing from elsewhere."""

import pytest
from sqlalchemy import delete, select, update

from aiplatform.server.app import Exposed, require_own_password
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


class TestExposed:
    def test_an_empty_platform_is_not_opened_with_it(self, fresh_database: str) -> None:
        with pytest.raises(Exposed, match="AIPLATFORM_ADMIN_PASSWORD_FILE"):
            start()
        start(AIPLATFORM_ADMIN_PASSWORD="quite another phrase")
        assert opens("quite another phrase")

    def test_nor_is_one_that_was_started_with_it_before(self, fresh_database: str) -> None:
        start(AIPLATFORM_HOST="127.0.0.1")
        assert opens("admin123")
        with pytest.raises(Exposed):
            start()

    def test_a_named_password_replaces_it(self, fresh_database: str) -> None:
        start(AIPLATFORM_HOST="127.0.0.1")
        start(AIPLATFORM_ADMIN_PASSWORD="quite another phrase")
        assert opens("quite another phrase")
        assert not opens("admin123")
        start()  # and it is not asked about again

    def test_an_own_password_is_never_replaced(self, fresh_database: str) -> None:
        start(AIPLATFORM_ADMIN_PASSWORD="my own phrase")
        start(AIPLATFORM_ADMIN_PASSWORD="something else here")
        assert opens("my own phrase")

    def test_loopback_may_have_it(self, fresh_database: str) -> None:
        for host in ("127.0.0.1", "localhost", "::1"):
            start(AIPLATFORM_HOST=host)

    @pytest.mark.parametrize("gone", [True, False])
    def test_who_has_no_account_admin_has_no_such_password(
        self, fresh_database: str, gone: bool
    ) -> None:
        start(AIPLATFORM_ADMIN_PASSWORD="my own phrase")
        with transaction() as session:
            session.execute(update(User).values(username="root"))
            if gone:
                session.execute(delete(User))
        if gone:
            with pytest.raises(Exposed):
                start()
        else:
            start()

    @pytest.mark.parametrize(("role", "active"), [("keeper", True), ("admin", False)])
    def test_whoever_may_do_everything_counts_and_not_the_name_of_the_role(
        self, fresh_database: str, role: str, active: bool
    ) -> None:
        start(AIPLATFORM_ADMIN_PASSWORD="my own phrase")
        with transaction() as session:
            session.add(Role(name="keeper", permissions=["*"]))
            session.flush()
            session.execute(update(User).values(username="root", role=role, is_active=active))
        if active:
            start()
        else:  # the first start would make another administrator, with the known password
            with pytest.raises(Exposed):
                start()

    def test_a_named_password_is_measured_and_noted(self, fresh_database: str) -> None:
        start(AIPLATFORM_HOST="127.0.0.1")
        with transaction() as session:
            make_token(session, session.scalars(select(User)).one())
        # Fine by the default of 3, which is not what this platform asks for.
        start(AIPLATFORM_ADMIN_PASSWORD="kettle-bramble", AIPLATFORM_PASSWORD_MIN_SCORE="4")
        with transaction() as session:
            security = session.scalars(select(UserSecurity)).one()
            assert security.must_change_password
            assert security.password_changed_at is not None
            login = session.scalars(select(AuthSession)).one()
            assert login.end_reason == "password_changed"
