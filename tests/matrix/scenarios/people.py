"""Scenarios for identity, projects, secrets and notifications."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyotp

from tests.conftest import Api, environment
from tests.factories import (
    PASSWORD,
    make_key,
    make_user,
    number,
)
from tests.matrix.scenarios.scenario import NEW_PASSWORD, Act, Scenario, done, scenario
from tests.server.identity.fake_provider import CLIENT_ID, FakeProvider, Flow


def token(s: Scenario, **form: str) -> Any:
    return Api(s.client, None).post("auth/token", data={"password": PASSWORD, **form})


@scenario("POST auth/token")
def signing_in(s: Scenario) -> Act:
    return partial(token, s, username=make_user(s.session).username)


@scenario("POST auth/refresh")
def refreshing(s: Scenario) -> Act:
    tokens = done(token(s, username=make_user(s.session).username)).json()
    body = {"refresh_token": tokens["refresh_token"]}
    return partial(Api(s.client, None).post, "auth/refresh", json=body)


@scenario("POST auth/forgot-password")
def forgetting(s: Scenario) -> Act:
    body = {"email": make_user(s.session).email}
    return partial(Api(s.client, None).post, "auth/forgot-password", json=body)


@scenario("POST auth/reset-password")
def resetting(s: Scenario) -> Act:
    user = make_user(s.session)
    link = done(s.admin.post(f"users/{user.username}/password-reset")).json()
    body = {"token": link["token"], "new_password": NEW_PASSWORD}
    return partial(Api(s.client, None).post, "auth/reset-password", json=body)


@scenario("POST auth/register")
def registering(s: Scenario) -> Act:
    name = f"new{number()}"
    body = {"username": name, "email": f"{name}@example.com", "password": NEW_PASSWORD}

    def act() -> Any:
        with environment(AIPLATFORM_SELF_REGISTRATION="true"):
            return Api(s.client, None).post("auth/register", json=body)

    return act


def invitation(s: Scenario) -> Any:
    return s.admin.post("invitations", json={"email": f"in{number()}@example.com"})


@scenario("POST invitations")
def inviting(s: Scenario) -> Act:
    return partial(invitation, s)


@scenario("POST auth/accept-invitation")
def accepting(s: Scenario) -> Act:
    body = {
        "token": done(invitation(s)).json()["token"],
        "username": f"guest{number()}",
        "password": NEW_PASSWORD,
    }
    return partial(Api(s.client, None).post, "auth/accept-invitation", json=body)


@contextmanager
def provider() -> Iterator[FakeProvider]:
    made = FakeProvider()
    with environment(
        AIPLATFORM_OIDC_ISSUER=made.issuer,
        AIPLATFORM_OIDC_CLIENT_ID=CLIENT_ID,
        AIPLATFORM_OIDC_CLIENT_SECRET="secret",
        AIPLATFORM_OUTGOING_NETWORKS="127.0.0.0/8",
    ):
        yield made
    made.server.shutdown()
    made.server.server_close()


@scenario("POST auth/oidc/token")
def exchanging(s: Scenario) -> Act:
    s.client.cookies.clear()
    flow = Flow(s.client, s.until.enter_context(provider()))
    flow.provider.person = {"sub": f"person{number()}"}
    return partial(flow.exchange, flow.back()["code"])


def without_cookie(s: Scenario, act: Act) -> Any:
    """Send the request, then clear its cookie, which would sign in requests without a token."""
    answer = act()
    s.client.cookies.clear()
    return answer


@scenario("POST browser-session")
def signing_a_browser_in(s: Scenario) -> Act:
    body = {"username": make_user(s.session).username, "password": PASSWORD}
    post = partial(Api(s.client, None).post, "browser-session", json=body)
    return partial(without_cookie, s, post)


@scenario("POST browser-session/sso")
def signing_a_browser_in_by_sso(s: Scenario) -> Act:
    s.client.cookies.clear()
    flow = Flow(s.client, s.until.enter_context(provider()))
    flow.provider.person = {"sub": f"person{number()}"}
    body = {"code": flow.back()["code"], "code_verifier": flow.verifier}
    post = partial(Api(s.client, None).post, "browser-session/sso", json=body)
    return partial(without_cookie, s, post)


# Accounts


@scenario("PUT users/me/password")
def changing_a_password(s: Scenario) -> Act:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return partial(s.fresh()[1].put, "users/me/password", json=body)


@scenario("PUT users/me/email")
def changing_an_address(s: Scenario) -> Act:
    body = {"email": f"other{number()}@example.com", "password": PASSWORD}
    return partial(s.fresh()[1].put, "users/me/email", json=body)


@scenario("POST users/me/keys")
def making_a_key(s: Scenario) -> Act:
    return partial(s.owner.post, "users/me/keys", json={"name": "mine", "scopes": ["tasks:read"]})


@scenario("DELETE users/{user}/keys/{key}")
def revoking_a_key(s: Scenario) -> Act:
    user = make_user(s.session)
    key = make_key(s.session, user)
    return partial(s.admin.delete, f"users/{user.username}/keys/{key.uuid}")


def enrolled(s: Scenario) -> tuple[Any, Api, pyotp.TOTP]:
    user, api = s.fresh()
    seed = done(api.post("users/me/totp", json={"password": PASSWORD})).json()["secret"]
    return user, api, pyotp.TOTP(seed)


def protected(s: Scenario) -> tuple[Any, Api]:
    user, api, app = enrolled(s)
    done(api.post("users/me/totp/confirm", json={"code": app.now()}))
    return user, api


@scenario("POST users/me/totp")
def enrolling(s: Scenario) -> Act:
    return partial(s.fresh()[1].post, "users/me/totp", json={"password": PASSWORD})


@scenario("POST users/me/totp/confirm")
def confirming(s: Scenario) -> Act:
    _, api, app = enrolled(s)
    return lambda: api.post("users/me/totp/confirm", json={"code": app.now()})


@scenario("POST users/me/totp/recovery-codes")
def renewing_recovery_codes(s: Scenario) -> Act:
    body = {"password": PASSWORD}
    return partial(protected(s)[1].post, "users/me/totp/recovery-codes", json=body)


@scenario("POST users/me/totp/disable")
def disabling(s: Scenario) -> Act:
    return partial(protected(s)[1].post, "users/me/totp/disable", json={"password": PASSWORD})


@scenario("DELETE users/{user}/totp")
def taking_a_second_factor_away(s: Scenario) -> Act:
    return partial(s.admin.delete, f"users/{protected(s)[0].username}/totp")


# Projects


@scenario("POST projects/{project}/leave")
def leaving(s: Scenario) -> Act:
    return partial(s.api("viewer").post, f"{s.path('project')}/leave")


def joining(s: Scenario) -> tuple[Api, str]:
    """Invite a new user into the project; return their client and the invitation's path."""
    user, api = s.fresh()
    body = {"role": "viewer"}
    made = done(s.owner.put(f"{s.path('project')}/members/{user.username}", json=body))
    return api, f"users/me/project-invitations/{made.json()['uuid']}"


@scenario("POST users/me/project-invitations/{invitation}/accept")
def accepting_membership(s: Scenario) -> Act:
    api, where = joining(s)
    return partial(api.post, f"{where}/accept")


@scenario("POST users/me/project-invitations/{invitation}/decline")
def declining_membership(s: Scenario) -> Act:
    api, where = joining(s)
    return partial(api.post, f"{where}/decline")


@scenario("POST projects/{project}/transfer")
def transferring(s: Scenario) -> Act:
    developer = s.world.people["developer"]
    assert developer is not None
    body = {"user": developer.username}
    return partial(s.owner.post, f"{s.path('project')}/transfer", json=body)


@scenario("DELETE projects/{project}/secrets/{secret}")
def deleting_a_secret(s: Scenario) -> Act:
    where = f"{s.path('project')}/secrets/TOKEN{number()}"
    done(s.owner.put(where, json={"kind": "generic", "value": "something secret"}))
    return partial(s.owner.delete, where)


@scenario("DELETE notifications/read")
def clearing_the_inbox(s: Scenario) -> Act:
    s.worlds.add_personal_objects(s.world, "owner")
    done(s.owner.post(f"notifications/{s.world.params['notification']}/read"))
    return partial(s.owner.delete, "notifications/read")
