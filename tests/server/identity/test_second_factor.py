"""Tests of the second factor."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pyotp
import pytest
from sqlalchemy import select, text
from sqlalchemy.orm import Session

from aiplatform.server.identity.models import RecoveryCode, Totp, User
from aiplatform.server.identity.service import second_factor
from tests.conftest import Api
from tests.factories import PASSWORD, make_user
from tests.openapi_checks import CheckedClient

pytestmark = pytest.mark.usefixtures("client")
Act = Callable[[User | None], Api]


class Phone:
    """An authenticator app that can also generate codes for past and future time steps."""

    def __init__(self, secret: str) -> None:
        self.app = pyotp.TOTP(secret)

    def code(self, at: int = 0) -> str:
        step = int(second_factor.time.time()) // 30
        return self.app.generate_otp(step + at)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Return a function that advances the server's clock by a number of seconds."""
    now = [1_800_000_000.0]
    monkeypatch.setattr(second_factor.time, "time", lambda: now[0])

    def turn(seconds: float) -> None:
        now[0] += seconds

    return turn


def enrol(api: Api) -> tuple[Phone, list[str]]:
    enrolment = api.post("users/me/totp", json={"password": PASSWORD})
    assert enrolment.status_code == 200, enrolment.text
    phone = Phone(enrolment.json()["secret"])
    confirmed = api.post("users/me/totp/confirm", json={"code": phone.code()})
    assert confirmed.status_code == 200, confirmed.text
    return phone, confirmed.json()["recovery_codes"]


def sign_in(
    client: CheckedClient, user: User, totp: str | None = None, password: str = PASSWORD
) -> Any:
    form = {"username": user.username, "password": password}
    if totp is not None:
        form["totp"] = totp
    return client.post("/api/v1/auth/token", data=form)


@pytest.mark.usefixtures("clock")
class TestEnrolment:
    def test_enrolment_has_no_effect_until_confirmed(
        self, client: CheckedClient, session: Session, api: Act
    ) -> None:
        user = make_user(session)
        mine = api(user)
        answer = mine.post("users/me/totp", json={"password": PASSWORD})
        assert answer.headers["cache-control"] == "no-store"
        assert f"AI%20Platform:{user.username}" in answer.json()["uri"]
        assert sign_in(client, user).status_code == 200
        assert mine.get("users/me/totp").json() == {"enabled": False, "recovery_codes_left": 0}
        wrong = mine.post("users/me/totp/confirm", json={"code": "000000"})
        assert (wrong.status_code, wrong.json()["code"]) == (422, "account.wrong_totp")
        phone, codes = enrol(mine)
        assert len(set(codes)) == 10
        assert mine.get("users/me/totp").json() == {"enabled": True, "recovery_codes_left": 10}
        assert mine.get("users/me").json()["totp_enabled"] is True
        again = mine.post("users/me/totp", json={"password": PASSWORD})
        assert (again.status_code, again.json()["code"]) == (409, "account.totp_active")
        assert mine.post("users/me/totp/confirm", json={"code": phone.code(1)}).status_code == 409

    def test_enrolment_requires_the_password(self, session: Session, api: Act) -> None:
        mine = api(make_user(session))
        answer = mine.post("users/me/totp", json={"password": "not it at all"})
        assert answer.json()["code"] == "account.wrong_password"
        assert mine.post("users/me/totp/confirm", json={"code": "123456"}).status_code == 409

    def test_secret_and_codes_are_not_readable_in_the_database(
        self, session: Session, api: Act
    ) -> None:
        user = make_user(session)
        mine = api(user)
        secret = mine.post("users/me/totp", json={"password": PASSWORD}).json()["secret"]
        phone = Phone(secret)
        codes = mine.post("users/me/totp/confirm", json={"code": phone.code()}).json()
        row = session.get_one(Totp, user.id)
        assert secret.encode() not in bytes(row.seed)
        for table in ("user_totp", "recovery_codes", "audit_logs"):
            kept = str(session.execute(text(f"SELECT t::text FROM {table} t")).all())
            assert secret not in kept
            assert not any(code in kept for code in codes["recovery_codes"])


class TestSignIn:
    def test_code_is_requested_only_after_the_right_password(
        self, client: CheckedClient, session: Session, api: Act, clock: Any
    ) -> None:
        user = make_user(session)
        phone, _ = enrol(api(user))
        clock(30)
        missing = sign_in(client, user)
        assert (missing.status_code, missing.json()["code"]) == (401, "auth.totp_required")
        wrong = sign_in(client, user, phone.code(), password="not the password")
        assert wrong.json()["code"] == "auth.wrong_credentials"
        assert sign_in(client, user, phone.code()).status_code == 200

    def test_code_is_accepted_once(
        self, client: CheckedClient, session: Session, api: Act, clock: Any
    ) -> None:
        user = make_user(session)
        phone, _ = enrol(api(user))
        # The code that confirmed the second factor, and older codes, are not accepted either.
        assert sign_in(client, user, phone.code()).json()["code"] == "auth.wrong_totp"
        clock(30)
        code = phone.code()
        assert sign_in(client, user, code).status_code == 200
        assert sign_in(client, user, code).json()["code"] == "auth.wrong_totp"
        assert sign_in(client, user, phone.code(1)).status_code == 200
        assert sign_in(client, user, phone.code(0)).status_code == 401

    def test_concurrent_uses_of_a_code_admit_one(
        self, client: CheckedClient, session: Session, api: Act, clock: Any
    ) -> None:
        user = make_user(session)
        phone, recovery = enrol(api(user))
        clock(30)
        for code in (phone.code(), recovery[0]):
            with ThreadPoolExecutor(4) as pool:
                answers = list(pool.map(lambda _, c=code: sign_in(client, user, c), range(4)))
            assert [a.status_code for a in answers].count(200) == 1

    @pytest.mark.parametrize(("ahead", "status"), [(-2, 401), (-1, 200), (1, 200), (2, 401)])
    def test_clock_of_the_phone_may_be_one_step_off(
        self, client: CheckedClient, session: Session, api: Act, clock: Any, ahead: int, status: int
    ) -> None:
        user = make_user(session)
        phone, _ = enrol(api(user))
        clock(300)
        assert sign_in(client, user, phone.code(ahead)).status_code == status

    def test_recovery_code_is_accepted_once(
        self, client: CheckedClient, session: Session, api: Act, clock: Any
    ) -> None:
        user, other = make_user(session), make_user(session)
        _, codes = enrol(api(user))
        _, foreign = enrol(api(other))
        assert sign_in(client, user, foreign[0]).json()["code"] == "auth.wrong_totp"
        assert sign_in(client, user, codes[0].upper().replace("-", " ")).status_code == 200
        assert sign_in(client, user, codes[0]).status_code == 401
        assert api(user).get("users/me/totp").json()["recovery_codes_left"] == 9

    def test_guesses_are_throttled(
        self, client: CheckedClient, session: Session, api: Act, clock: Any
    ) -> None:
        user = make_user(session)
        enrol(api(user))
        codes = [sign_in(client, user, "000000").status_code for _ in range(6)]
        assert codes == [401] * 5 + [429]

    @pytest.mark.parametrize("code", ["", " ", "abcdef", "１２３４５６", "nul\x00", "x" * 64])
    def test_hostile_code_is_refused(
        self, client: CheckedClient, session: Session, api: Act, clock: Any, code: str
    ) -> None:
        user = make_user(session)
        enrol(api(user))
        assert sign_in(client, user, code).status_code == 401


class TestDisable:
    @pytest.mark.parametrize("proof", ["password", "code", "recovery"])
    def test_disabling_requires_password_or_code(
        self, client: CheckedClient, session: Session, api: Act, clock: Any, proof: str
    ) -> None:
        user = make_user(session)
        mine = api(user)
        phone, codes = enrol(mine)
        clock(30)
        assert mine.post("users/me/totp/disable", json={}).status_code == 422
        wrong = {"password": "not it at all"} if proof == "password" else {"code": "000000"}
        assert mine.post("users/me/totp/disable", json=wrong).status_code == 422
        right = {
            "password": {"password": PASSWORD},
            "code": {"code": phone.code()},
            "recovery": {"code": codes[3]},
        }[proof]
        assert mine.post("users/me/totp/disable", json=right).status_code == 204
        assert sign_in(client, user).status_code == 200
        left = select(RecoveryCode).where(RecoveryCode.user_id == user.id)
        assert session.scalars(left).all() == []
        assert mine.post("users/me/totp/disable", json=right).status_code in {409, 422}

    def test_renewal_replaces_recovery_codes(
        self, client: CheckedClient, session: Session, api: Act, clock: Any
    ) -> None:
        user = make_user(session)
        mine = api(user)
        _, old = enrol(mine)
        answer = mine.post("users/me/totp/recovery-codes", json={"password": PASSWORD})
        fresh = answer.json()["recovery_codes"]
        assert sign_in(client, user, old[0]).status_code == 401
        assert sign_in(client, user, fresh[0]).status_code == 200

    def test_administrator_removes_the_second_factor(
        self, client: CheckedClient, admin: Api, session: Session, api: Act, clock: Any
    ) -> None:
        user = make_user(session)
        enrol(api(user))
        assert admin.get(f"users/{user.username}").json()["totp_enabled"] is True
        assert admin.delete(f"users/{user.username}/totp").status_code == 204
        assert sign_in(client, user).status_code == 200
        inbox = api(user).get("notifications").json()["items"]
        assert [item["type"] for item in inbox] == [
            "security:totp_disabled", "security:totp_enabled",
        ]  # fmt: skip
