"""Accounts, sessions, second factors, keys, roles, invitations, secrets."""

import httpx
import pyotp

from aiplatform import Client
from tests.e2e.conftest import PASSWORD
from tests.surface.stage import NEW_PASSWORD, PROJECT, Stage, scene


def token_in(link: str | None) -> str:
    """Return the token of a link, which stands behind its ``#``."""
    assert link is not None
    return link.partition("#")[2]


@scene(
    "Client.change_password",
    "Client.close",
    "Client.health",
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
def sign_in(stage: Stage) -> None:
    name, client = stage.person()
    client.me()
    client.health()
    assert client.must_change_password is False
    assert client.openai_url == f"{client.url}/v1"
    client.change_password(PASSWORD, NEW_PASSWORD)
    client.close()
    other = Client(stage.platform.url, credentials=stage.tmp / "other.json")
    other.login(name, NEW_PASSWORD, remember=True)
    assert other.access_token()
    other.logout()
    stage.cli("login", "--username", name, "--password-stdin", stdin=f"{NEW_PASSWORD}\n", token="")
    stage.cli("whoami", token="")
    stage.cli("account", "password", "--password-stdin", stdin=f"{NEW_PASSWORD}\n{PASSWORD}\n",
              token="")  # fmt: skip
    stage.cli("logout", token="")


@scene(
    "Account.end_other_sessions",
    "Account.end_session",
    "Account.sessions",
    "LoginSession.end",
    "account end-session",
    "account sessions",
)
def sessions(stage: Stage) -> None:
    name, client = stage.person()

    def another() -> Client:
        return Client(stage.platform.url, credentials=stage.tmp / "x.json").login(name, PASSWORD)

    another(), another(), another()
    token = client.access_token()
    listed = client.account.sessions().all()
    mine = [each for each in listed if not each.current]
    mine[0].end()
    client.account.end_session(mine[1])
    assert client.account.end_other_sessions() == 1
    another()
    found = stage.told("account", "sessions", token=token)
    other = next(each for each in found if not each["current"])
    stage.cli("account", "end-session", other["uuid"], token=token)


@scene(
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
def second_factor(stage: Stage) -> None:
    _, client = stage.person()
    assert client.account.second_factor().enabled is False
    enrolment = client.account.enrol_second_factor(PASSWORD)
    secret = pyotp.TOTP(enrolment.secret)
    codes = client.account.confirm_second_factor(secret.now())
    codes = client.account.renew_recovery_codes(code=codes[0])
    client.account.disable_second_factor(code=codes[0])
    token = client.access_token()
    shown = stage.told(
        "account", "totp", "enable", "--password-stdin", stdin=f"{PASSWORD}\n", token=token
    )
    secret = pyotp.TOTP(shown["secret"])
    confirmed = stage.told("account", "totp", "confirm", secret.now(), token=token)
    stage.cli("account", "totp", "status", token=token)
    first, second = confirmed["recovery_codes"][:2]
    renewed = stage.told("account", "totp", "recovery-codes", "--code", first, token=token)
    second = renewed["recovery_codes"][0]
    stage.cli("account", "totp", "disable", "--code", second, "--yes", token=token)


@scene(
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
def own_account(stage: Stage) -> None:
    name = stage.name("registered")
    anonymous = Client(stage.platform.url, credentials=stage.tmp / "nobody.json")
    anonymous.account.register(name, f"{name}@example.com", PASSWORD)
    anonymous.account.forgot_password(f"{name}@example.com")
    link = stage.client.users.reset_password(name)
    anonymous.account.reset_password(token_in(link.link), NEW_PASSWORD)
    anonymous.login(name, NEW_PASSWORD)
    anonymous.account.change_email(f"{name}@example.org", NEW_PASSWORD)
    token = anonymous.access_token()
    stage.cli("account", "email", f"{name}@example.net", "--password-stdin",
              stdin=f"{NEW_PASSWORD}\n", token=token)  # fmt: skip
    other = stage.name("registered")
    stage.cli("account", "register", other, f"{other}@example.com", "--password-stdin",
              stdin=f"{PASSWORD}\n", token="")  # fmt: skip
    stage.cli("account", "forgot-password", f"{other}@example.com", token="")
    link = stage.told("users", "reset-password", other)
    stage.cli("account", "reset-password", token_in(link["link"]), "--password-stdin",
              stdin=f"{NEW_PASSWORD}\n", token="")  # fmt: skip


@scene(
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
def users(stage: Stage) -> None:
    users = stage.client.users
    name, _ = stage.person()
    assert users.me().username == "admin"
    assert users.list(name).first() is not None
    found = users.get(name)
    found.update(email=f"{name}@example.org").deactivate().activate()
    users.update(name, email=f"{name}@example.net")
    users.deactivate(name)
    users.activate(name)
    users.end_sessions(name)
    users.reset_second_factor(name)
    users.delete(name)
    other, _ = stage.person()
    users.get(other).delete()
    third = stage.name("person")
    stage.cli("users", "create", third, f"{third}@example.com", "--password-stdin",
              stdin=f"{PASSWORD}\n")  # fmt: skip
    stage.cli("users", "ls", third)
    stage.cli("users", "show", third)
    stage.cli("users", "set", third, "--email", f"{third}@example.org")
    stage.cli("users", "deactivate", third)
    stage.cli("users", "activate", third)
    stage.cli("users", "end-sessions", third)
    stage.cli("users", "reset-totp", third, "--yes")
    stage.cli("users", "delete", third, "--yes")
    fourth, _ = stage.person()
    stage.cli("users", "rm", fourth, "--yes")


@scene(
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
def invitations(stage: Stage) -> None:
    invitations = stage.client.invitations
    name = stage.name("guest")
    made = invitations.create(f"{name}@example.com", project=PROJECT, project_role="viewer")
    assert invitations.list(only_open=True).first() is not None
    invitations.accept(token_in(made.link), name, PASSWORD)
    invitations.create(f"{name}@example.org").revoke()
    invitations.revoke(invitations.create(f"{name}@example.net"))
    other = stage.name("guest")
    shown = stage.told("users", "invite", f"{other}@example.com")
    stage.cli("invitations", "ls")
    stage.cli("account", "accept-invitation", token_in(shown["link"]), other, "--password-stdin",
              stdin=f"{PASSWORD}\n", token="")  # fmt: skip
    shown = stage.told("users", "invite", f"{other}@example.org")
    stage.cli("invitations", "revoke", shown["uuid"])


@scene(
    "Key.revoke",
    "Keys.create",
    "Keys.list",
    "Keys.revoke",
    "NewKey.revoke",
    "keys create",
    "keys ls",
    "keys revoke",
)
def keys(stage: Stage) -> None:
    keys = stage.client.keys
    made = keys.create(stage.name("key"), ["datasets:read"], days=1)
    assert keys.list().first() is not None
    keys.revoke(made)
    keys.create(stage.name("key"), ["datasets:read"]).revoke()
    shown = stage.told("keys", "create", stage.name("key"), "--scope", "datasets:read")
    stage.cli("keys", "ls")
    stage.cli("keys", "revoke", shown["uuid"], "--yes")


@scene(
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
def roles(stage: Stage) -> None:
    roles = stage.client.roles
    name = stage.name("role")
    assert roles.permissions()
    role = roles.create(name, ["datasets:read"])
    assert roles.list().first() is not None
    roles.get(name)
    roles.update(name, description="Reads.")
    role.update(description="Reads data.").delete()
    roles.create(name, ["datasets:read"])
    roles.delete(name)
    stage.cli("roles", "create", name, "datasets:read")
    stage.cli("roles", "ls")
    stage.cli("roles", "show", name)
    stage.cli("roles", "set", name, "--add", "models:read")
    stage.cli("roles", "permissions")
    stage.cli("roles", "delete", name, "--yes")
    stage.cli("roles", "create", name, "datasets:read")
    stage.cli("roles", "rm", name, "--yes")


@scene(
    "Secrets.list",
    "Secrets.remove",
    "Secrets.set",
    "secrets ls",
    "secrets rm",
    "secrets set",
)
def secrets(stage: Stage) -> None:
    secrets = stage.client.secrets
    secrets.set("FIRST_TOKEN", "value", project=PROJECT)
    assert secrets.list(project=PROJECT).first() is not None
    secrets.remove("FIRST_TOKEN", project=PROJECT)
    stage.cli("secrets", "set", "SECOND_TOKEN", "--project", PROJECT, stdin="value")
    stage.cli("secrets", "ls", "--project", PROJECT)
    stage.cli("secrets", "rm", "SECOND_TOKEN", "--project", PROJECT)


@scene("Client.login_sso")
def sign_in_with_a_provider(stage: Stage) -> None:
    stage.provider.person = {"sub": stage.name("dora")}

    def visit(address: str) -> None:
        """Do what a browser does once somebody has opened the address."""
        with httpx.Client() as browser:
            to_provider = browser.get(address).headers["location"]
            back = stage.provider.authorize(to_provider)
            browser.get(browser.get(f"{stage.platform.url}{back}").headers["location"])

    client = Client(stage.platform.url, credentials=stage.tmp / "sso.json")
    client.login_sso(visit, timeout=60)
    assert client.me().username
