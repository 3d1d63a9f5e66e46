"""Scenarios for accounts, sessions, second factors, API keys, roles, invitations and secrets."""

import httpx
import pyotp
import pytest

from aiplatform import Client
from aiplatform.client import Unauthenticated
from tests.e2e.conftest import PASSWORD
from tests.surface.live_platform import NEW_PASSWORD, PROJECT, LivePlatform, scenario


def token_in(link: str | None) -> str:
    """Return the token in a link: the part after ``#``."""
    assert link is not None
    return link.partition("#")[2]


@scenario(
    "Client.change_password",
    "Client.close",
    "Client.health",
    "Client.licences",
    "licences",
    "Client.login",
    "Client.logout",
    "Client.me",
    "Client.must_change_password",
    "Client.openai_url",
    "Client.url",
    "Users.me",
    "account password",
    "login",
    "logout",
    "whoami",
)
def sign_in(live: LivePlatform) -> None:
    name, client = live.person()
    assert client.me().username == name
    assert client.health()["status"] in {"ok", "degraded"}
    assert "httpx" in {package.name for package in client.licences().python}
    assert live.cli_json("licences", "--search", "httpx")
    assert client.must_change_password is False
    assert client.openai_url == f"{client.url}/v1"
    client.change_password(PASSWORD, NEW_PASSWORD)
    client.close()
    other = Client(live.platform.url, credentials=live.tmp / "other.json")
    other.login(name, NEW_PASSWORD, remember=True)
    assert other.access_token()
    other.logout()
    live.cli("login", "--username", name, "--password-stdin", stdin=f"{NEW_PASSWORD}\n", token="")
    assert name in live.cli("whoami", token="")
    live.cli("account", "password", "--password-stdin", stdin=f"{NEW_PASSWORD}\n{PASSWORD}\n",
              token="")  # fmt: skip
    live.cli("logout", token="")
    assert Client(live.platform.url, credentials=live.tmp / "z.json").login(name, PASSWORD).me()


@scenario(
    "Account.end_other_sessions",
    "Account.end_session",
    "Account.sessions",
    "LoginSession.end",
    "account end-session",
    "account sessions",
)
def sessions(live: LivePlatform) -> None:
    name, client = live.person()

    def another() -> Client:
        return Client(live.platform.url, credentials=live.tmp / "x.json").login(name, PASSWORD)

    another(), another(), another()
    token = client.access_token()
    listed = client.account.sessions().all()
    mine = [each for each in listed if not each.current]
    mine[0].end()
    client.account.end_session(mine[1])
    assert client.account.end_other_sessions() == 1
    assert [each.current for each in client.account.sessions()] == [True]
    another()
    found = live.cli_json("account", "sessions", token=token)
    other = next(each for each in found if not each["current"])
    live.cli("account", "end-session", other["uuid"], token=token)
    assert [each.current for each in client.account.sessions()] == [True]


@scenario(
    "Account.confirm_second_factor",
    "Account.disable_second_factor",
    "Account.enrol_second_factor",
    "Account.renew_recovery_codes",
    "Account.second_factor",
    "account totp confirm",
    "account totp disable",
    "account totp enable",
    "account totp recovery-codes",
    "account totp status",
)
def second_factor(live: LivePlatform) -> None:
    _, client = live.person()
    assert client.account.second_factor().enabled is False
    enrolment = client.account.enrol_second_factor(PASSWORD)
    secret = pyotp.TOTP(enrolment.secret)
    codes = client.account.confirm_second_factor(secret.now())
    assert client.account.second_factor().recovery_codes_left == len(codes)
    renewed = client.account.renew_recovery_codes(code=codes[0])
    assert not set(renewed) & set(codes)
    client.account.disable_second_factor(code=renewed[0])
    assert client.account.second_factor().enabled is False
    token = client.access_token()
    shown = live.cli_json(
        "account", "totp", "enable", "--password-stdin", stdin=f"{PASSWORD}\n", token=token
    )
    secret = pyotp.TOTP(shown["secret"])
    confirmed = live.cli_json("account", "totp", "confirm", secret.now(), token=token)
    assert live.cli_json("account", "totp", "status", token=token)["enabled"] is True
    first = confirmed["recovery_codes"][0]
    made = live.cli_json("account", "totp", "recovery-codes", "--code", first, token=token)
    code = made["recovery_codes"][0]
    live.cli("account", "totp", "disable", "--code", code, "--yes", token=token)
    assert client.account.second_factor().enabled is False


def with_second_factor(client: Client) -> Client:
    """Turn on the second factor for a client's account and return the client."""
    secret = pyotp.TOTP(client.account.enrol_second_factor(PASSWORD).secret)
    assert client.account.confirm_second_factor(secret.now())
    return client


@scenario(
    "Account.change_email",
    "Account.forgot_password",
    "Account.register",
    "Account.reset_password",
    "Users.reset_password",
    "account email",
    "account forgot-password",
    "account register",
    "account reset-password",
    "users reset-password",
)
def own_account(live: LivePlatform) -> None:
    name = live.name("registered")
    anonymous = Client(live.platform.url, credentials=live.tmp / "nobody.json")
    anonymous.account.register(name, f"{name}@example.com", PASSWORD)
    anonymous.account.forgot_password(f"{name}@example.com")
    link = live.client.users.reset_password(name)
    anonymous.account.reset_password(token_in(link.link), NEW_PASSWORD)
    anonymous.login(name, NEW_PASSWORD)
    anonymous.account.change_email(f"{name}@example.org", NEW_PASSWORD)
    assert anonymous.me().email == f"{name}@example.org"
    token = anonymous.access_token()
    live.cli("account", "email", f"{name}@example.net", "--password-stdin",
              stdin=f"{NEW_PASSWORD}\n", token=token)  # fmt: skip
    assert anonymous.me().email == f"{name}@example.net"
    other = live.name("registered")
    live.cli("account", "register", other, f"{other}@example.com", "--password-stdin",
              stdin=f"{PASSWORD}\n", token="")  # fmt: skip
    live.cli("account", "forgot-password", f"{other}@example.com", token="")
    link = live.cli_json("users", "reset-password", other)
    live.cli("account", "reset-password", token_in(link["link"]), "--password-stdin",
              stdin=f"{NEW_PASSWORD}\n", token="")  # fmt: skip
    assert anonymous.login(other, NEW_PASSWORD).me().username == other


@scenario(
    "Resource.etag",
    "User.activate",
    "User.deactivate",
    "User.delete",
    "User.update",
    "Users.activate",
    "Users.deactivate",
    "Users.delete",
    "Users.end_sessions",
    "Users.get",
    "Users.list",
    "Users.reset_second_factor",
    "Users.update",
    "users activate",
    "users create",
    "users deactivate",
    "users delete",
    "users end-sessions",
    "users ls",
    "users reset-totp",
    "users rm",
    "users set",
    "users show",
)
def users(live: LivePlatform) -> None:
    users = live.client.users

    def exists(name: str) -> bool:
        return name in [user.username for user in users.list(name)]

    name, client = live.person()
    assert users.me().username == "admin"
    assert exists(name)
    found = users.get(name).update(email=f"{name}@example.org").deactivate()
    assert not found.is_active
    assert found.activate().is_active
    assert users.update(name, email=f"{name}@example.net").email == f"{name}@example.net"
    assert not users.deactivate(name).is_active
    assert users.activate(name).is_active
    client.login(name, PASSWORD)
    users.end_sessions(name)
    with pytest.raises(Unauthenticated):
        client.me()
    client.login(name, PASSWORD)
    with_second_factor(client)
    users.reset_second_factor(name)
    assert client.login(name, PASSWORD).account.second_factor().enabled is False
    users.delete(name)
    other, _ = live.person()
    users.get(other).delete()
    assert not exists(name)
    assert not exists(other)
    third = live.name("person")
    live.cli("users", "create", third, f"{third}@example.com", "--password-stdin",
              stdin=f"{PASSWORD}\n")  # fmt: skip
    signed_in = Client(live.platform.url, credentials=live.tmp / f"{third}.json")
    signed_in.login(third, PASSWORD)
    assert [user["username"] for user in live.cli_json("users", "ls", third)] == [third]
    live.cli("users", "set", third, "--email", f"{third}@example.org")
    assert live.cli_json("users", "show", third)["email"] == f"{third}@example.org"
    live.cli("users", "deactivate", third)
    assert not users.get(third).is_active
    live.cli("users", "activate", third)
    assert users.get(third).is_active
    with_second_factor(signed_in.login(third, PASSWORD))
    live.cli("users", "end-sessions", third)
    with pytest.raises(Unauthenticated):
        signed_in.me()
    live.cli("users", "reset-totp", third, "--yes")
    assert signed_in.login(third, PASSWORD).account.second_factor().enabled is False
    live.cli("users", "delete", third, "--yes")
    fourth, _ = live.person()
    live.cli("users", "rm", fourth, "--yes")
    assert not exists(third)
    assert not exists(fourth)


@scenario(
    "Invitation.revoke",
    "Invitations.accept",
    "Invitations.create",
    "Invitations.list",
    "Invitations.revoke",
    "account accept-invitation",
    "invitations ls",
    "invitations revoke",
    "users invite",
)
def invitations(live: LivePlatform) -> None:
    invitations = live.client.invitations

    def open_addresses() -> set[str]:
        return {found.email for found in invitations.list(only_open=True)}

    name = live.name("guest")
    made = invitations.create(f"{name}@example.com", project=PROJECT, project_role="viewer")
    assert f"{name}@example.com" in open_addresses()
    invitations.accept(token_in(made.link), name, PASSWORD)
    assert live.client.users.get(name).email == f"{name}@example.com"
    invitations.create(f"{name}@example.org").revoke()
    invitations.revoke(invitations.create(f"{name}@example.net"))
    other = live.name("guest")
    shown = live.cli_json("users", "invite", f"{other}@example.com")
    listed = {found["email"] for found in live.cli_json("invitations", "ls")}
    assert f"{other}@example.com" in listed
    live.cli("account", "accept-invitation", token_in(shown["link"]), other, "--password-stdin",
              stdin=f"{PASSWORD}\n", token="")  # fmt: skip
    assert live.client.users.get(other).email == f"{other}@example.com"
    shown = live.cli_json("users", "invite", f"{other}@example.org")
    live.cli("invitations", "revoke", shown["uuid"])
    assert not {address for address in open_addresses() if address.startswith((name, other))}


@scenario(
    "Key.revoke",
    "Keys.create",
    "Keys.list",
    "Keys.revoke",
    "NewKey.revoke",
    "keys create",
    "keys ls",
    "keys revoke",
)
def keys(live: LivePlatform) -> None:
    keys = live.client.keys
    made = keys.create(live.name("key"), ["datasets:read"], days=1)
    other = keys.create(live.name("key"), ["datasets:read"])
    shown = live.cli_json("keys", "create", live.name("key"), "--scope", "datasets:read")
    names = {made.name, other.name, shown["name"]}
    assert names <= {key.name for key in keys.list()}
    assert names <= {key["name"] for key in live.cli_json("keys", "ls")}
    keys.revoke(made)
    other.revoke()
    live.cli("keys", "revoke", shown["uuid"], "--yes")
    assert not names & {key.name for key in keys.list() if key.revoked_at is None}


@scenario(
    "Role.delete",
    "Role.update",
    "Roles.create",
    "Roles.delete",
    "Roles.get",
    "Roles.list",
    "Roles.permissions",
    "Roles.update",
    "roles create",
    "roles delete",
    "roles ls",
    "roles permissions",
    "roles rm",
    "roles set",
    "roles show",
)
def roles(live: LivePlatform) -> None:
    roles = live.client.roles
    name = live.name("role")

    def exists() -> bool:
        return name in [role.name for role in roles.list()]

    assert roles.permissions()
    role = roles.create(name, ["datasets:read"])
    assert exists()
    assert roles.update(name, description="Reads.").description == "Reads."
    role = roles.get(name).update(description="Reads data.")
    assert role.description == "Reads data."
    role.delete()
    assert not exists()
    roles.create(name, ["datasets:read"])
    roles.delete(name)
    assert not exists()
    live.cli("roles", "create", name, "datasets:read")
    assert name in [role["name"] for role in live.cli_json("roles", "ls")]
    live.cli("roles", "set", name, "--add", "models:read")
    assert set(live.cli_json("roles", "show", name)["permissions"]) == {
        "datasets:read",
        "models:read",
    }
    assert "datasets:read" in live.cli("roles", "permissions")
    live.cli("roles", "delete", name, "--yes")
    assert not exists()
    live.cli("roles", "create", name, "datasets:read")
    live.cli("roles", "rm", name, "--yes")
    assert not exists()


@scenario(
    "Secrets.list",
    "Secrets.remove",
    "Secrets.set",
    "secrets ls",
    "secrets rm",
    "secrets set",
)
def secrets(live: LivePlatform) -> None:
    secrets = live.client.secrets

    def names() -> set[str]:
        return {secret.name for secret in secrets.list(project=PROJECT)}

    secrets.set("FIRST_TOKEN", "value", project=PROJECT)
    assert "FIRST_TOKEN" in names()
    secrets.remove("FIRST_TOKEN", project=PROJECT)
    live.cli("secrets", "set", "SECOND_TOKEN", "--project", PROJECT, stdin="value")
    listed = live.cli_json("secrets", "ls", "--project", PROJECT)
    assert [secret["name"] for secret in listed] == ["SECOND_TOKEN"]
    live.cli("secrets", "rm", "SECOND_TOKEN", "--project", PROJECT)
    assert not names()


@scenario("Client.login_sso")
def sign_in_with_a_provider(live: LivePlatform) -> None:
    live.provider.person = {"sub": live.name("dora")}

    def visit(address: str) -> None:
        """Open an address and follow the redirects of the sign-in, as a browser does."""
        with httpx.Client() as browser:
            to_provider = browser.get(address).headers["location"]
            back = live.provider.authorize(to_provider)
            browser.get(browser.get(f"{live.platform.url}{back}").headers["location"])

    client = Client(live.platform.url, credentials=live.tmp / "sso.json")
    client.login_sso(visit, timeout=60)
    assert client.me().username
