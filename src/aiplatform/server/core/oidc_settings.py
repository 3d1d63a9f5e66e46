"""Settings of single sign-on by OpenID Connect."""

import json
from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode

from aiplatform.server.core.setting_files import comma_separated


class OidcSettings(BaseSettings):
    """What :class:`aiplatform.server.core.settings.Settings` has of them."""

    oidc_issuer: str | None = Field(
        None,
        description="OpenID Connect provider that signs people in, for example "
        "`https://id.example.com/realms/main`. Unset, there is no single sign-on.",
    )
    oidc_client_id: str | None = Field(None, description="This platform's name at the provider.")
    oidc_client_secret: SecretStr | None = Field(
        None, description="Its secret there; without one it is a public client."
    )
    oidc_scopes: Annotated[list[str], NoDecode] = Field(
        default=["openid", "profile", "email"],
        description="Scopes asked of the provider, comma-separated.",
    )
    oidc_username_claim: str = Field(
        "preferred_username", description="Claim that becomes the name of a new account."
    )
    oidc_groups_claim: str = Field("groups", description="Claim that lists a person's groups.")
    oidc_roles: Annotated[dict[str, str], NoDecode] = Field(
        default={},
        description="Global roles by group, as `group=role` pairs separated by commas, or as JSON; "
        "the first that matches counts, and at each sign-in anew. Unset, the provider decides "
        "no roles.",
    )
    oidc_create_users: bool = Field(
        True, description="Make an account for whoever signs in through the provider first."
    )
    oidc_link_by_email: bool = Field(
        False,
        description="Let whoever the provider says has the verified address of an account sign in "
        "to it. Only for a provider whose every user you trust with that.",
    )

    @field_validator("oidc_scopes", mode="before")
    @classmethod
    def _scopes(cls, value: object) -> object:
        return comma_separated(value)

    @field_validator("oidc_roles", mode="before")
    @classmethod
    def _pairs(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        if value.lstrip().startswith("{"):
            return json.loads(value)
        # A group may have an equals sign in its name, a role may not.
        pairs = [part.rpartition("=") for part in value.split(",") if part.strip()]
        return {group.strip(): role.strip() for group, _, role in pairs}
