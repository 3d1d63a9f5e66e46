"""Scenes of identity, projects, secrets and notifications."""

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
from tests.matrix.scenes.scene import NEW_PASSWORD, Act, Scene, done, scene
from tests.server.identity.fake_provider import CLIENT_ID, FakeProvider, Flow


def token(s: Scene, **form: str) -> Any:
    return Api(s.client, None).post("auth/token", data={"password": PASSWORD, **form})


@scene("POST auth/token")
def signing_in(s: Scene) -> Act:
    return partial(token, s, username=make_user(s.session).username)


@scene("POST auth/refresh")
def refreshing(s: Scene) -> Act:
    tokens = done(token(s, username=make_user(s.session).username)).json()
    body = {"refresh_token": tokens["refresh_token"]}
    return partial(Api(s.client, None).post, "auth/refresh", json=body)


@scene("POST auth/forgot-password")
def forgetting(s: Scene) -> Act:
    body = {"email": make_user(s.session).email}
    return partial(Api(s.client, None).post, "auth/forgot-password", json=body)


@scene("POST auth/reset-password")
def resetting(s: Scene) -> Act:
    user = make_user(s.session)
    link = done(s.admin.post(f"users/{user.username}/password-reset")).json()
    body = {"token": link["token"], "new_password": NEW_PASSWORD}
    return partial(Api(s.client, None).post, "auth/reset-password", json=body)


@scene("POST auth/register")
def registering(s: Scene) -> Act:
    name = f"new{number()}"
    body = {"username": name, "email": f"{name}@example.com", "password": NEW_PASSWORD}

    def act() -> Any:
        with environment(AIPLATFORM_SELF_REGISTRATION="true"):
            return Api(s.client, None).post("auth/register", json=body)

    return act


def invitation(s: Scene) -> Any:
    return s.admin.post("invitations", json={"email": f"in{number()}@example.com"})


@scene("POST invitations")
def inviting(s: Scene) -> Act:
    return partial(invitation, s)


@scene("POST auth/accept-invitation")
def accepting(s: Scene) -> Act:
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


@scene("POST auth/oidc/token")
def exchanging(s: Scene) -> Act:
    s.client.cookies.clear()
    flow = Flow(s.client, s.until.enter_context(provider()))
    flow.provider.person = {"sub": f"person{number()}"}
    return partial(flow.exchange, flow.back()["code"])


# Accounts


@scene("PUT users/me/password")
def changing_a_password(s: Scene) -> Act:
    body = {"current_password": PASSWORD, "new_password": NEW_PASSWORD}
    return partial(s.fresh()[1].put, "users/me/password", json=body)


@scene("PUT users/me/email")
def changing_an_address(s: Scene) -> Act:
    body = {"email": f"other{number()}@example.com", "password": PASSWORD}
    return partial(s.fresh()[1].put, "users/me/email", json=body)


@scene("POST users/me/keys")
def making_a_key(s: Scene) -> Act:
    return partial(s.owner.post, "users/me/keys", json={"name": "mine", "scopes": ["tasks:read"]})


@scene("DELETE users/{user}/keys/{key}")
def revoking_a_key(s: Scene) -> Act:
    user = make_user(s.session)
    key = make_key(s.session, user)
    return partial(s.admin.delete, f"users/{user.username}/keys/{key.uuid}")


def enrolled(s: Scene) -> tuple[Any, Api, pyotp.TOTP]:
    user, api = s.fresh()
    seed = done(api.post("users/me/totp", json={"password": PASSWORD})).json()["secret"]
    return user, api, pyotp.TOTP(seed)


def protected(s: Scene) -> tuple[Any, Api]:
    user, api, app = enrolled(s)
    done(api.post("users/me/totp/confirm", json={"code": app.now()}))
    return user, api


@scene("POST users/me/totp")
def enrolling(s: Scene) -> Act:
    return partial(s.fresh()[1].post, "users/me/totp", json={"password": PASSWORD})


@scene("POST users/me/totp/confirm")
def confirming(s: Scene) -> Act:
    _, api, app = enrolled(s)
    return lambda: api.post("users/me/totp/confirm", json={"code": app.now()})


@scene("POST users/me/totp/recovery-codes")
def renewing_recovery_codes(s: Scene) -> Act:
    body = {"password": PASSWORD}
    return partial(protected(s)[1].post, "users/me/totp/recovery-codes", json=body)


@scene("POST users/me/totp/disable")
def disabling(s: Scene) -> Act:
    return partial(protected(s)[1].post, "users/me/totp/disable", json={"password": PASSWORD})


@scene("DELETE users/{user}/totp")
def taking_a_second_factor_away(s: Scene) -> Act:
    return partial(s.admin.delete, f"users/{protected(s)[0].username}/totp")


# Projects


@scene("POST projects/{project}/leave")
def leaving(s: Scene) -> Act:
    return partial(s.api("viewer").post, f"{s.path('project')}/leave")


def joining(s: Scene) -> tuple[Api, str]:
    """Invite a new user into the project; return their client and the invitation's path."""
    user, api = s.fresh()
    body = {"role": "viewer"}
    made = done(s.owner.put(f"{s.path('project')}/members/{user.username}", json=body))
    return api, f"users/me/project-invitations/{made.json()['uuid']}"


@scene("POST users/me/project-invitations/{invitation}/accept")
def accepting_membership(s: Scene) -> Act:
    api, where = joining(s)
    return partial(api.post, f"{where}/accept")


@scene("POST users/me/project-invitations/{invitation}/decline")
def declining_membership(s: Scene) -> Act:
    api, where = joining(s)
    return partial(api.post, f"{where}/decline")


@scene("POST projects/{project}/transfer")
def transferring(s: Scene) -> Act:
    developer = s.world.people["developer"]
    assert developer is not None
    body = {"user": developer.username}
    return partial(s.owner.post, f"{s.path('project')}/transfer", json=body)


@scene("DELETE projects/{project}/secrets/{secret}")
def deleting_a_secret(s: Scene) -> Act:
    where = f"{s.path('project')}/secrets/TOKEN{number()}"
    done(s.owner.put(where, json={"kind": "generic", "value": "something secret"}))
    return partial(s.owner.delete, where)


@scene("DELETE notifications/read")
def clearing_the_inbox(s: Scene) -> Act:
    s.stage.notify(s.world, "owner")
    done(s.owner.post(f"notifications/{s.world.params['notification']}/read"))
    return partial(s.owner.delete, "notifications/read")
