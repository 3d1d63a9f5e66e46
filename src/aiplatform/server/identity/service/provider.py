"""Client for the OpenID Connect provider: its metadata, its keys, and checks of its ID tokens.

An ID token is accepted only if the provider signed it recently, with an asymmetric algorithm and
one of its published keys, for this platform and the current sign-in (OpenID Connect Core 1.0,
section 3.1.3.7). All requests use the HTTP client that can reach only permitted networks.
"""

import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode, urlsplit

import httpx
import structlog
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from aiplatform.server.core import outgoing
from aiplatform.server.core.settings import Settings
from aiplatform.server.identity.errors import SsoFailed, SsoUnavailable

log = structlog.get_logger(__name__)

ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512",
              "Ed25519", "EdDSA"]  # fmt: skip
"""Accepted signature algorithms.

``none`` is not accepted, because an unsigned token proves nothing. Symmetric algorithms are not
accepted, because their key, the client secret, is not one of the provider's published keys.
"""

KEY_TYPES = frozenset({"RSA", "EC", "OKP"})
LEEWAY_SECONDS = 60
CACHE_SECONDS = 3600.0
"""Seconds for which the provider's metadata and keys are cached."""

REFETCH_SECONDS = 5.0
"""Minimum seconds between two fetches of the keys, even if tokens name unknown key ids."""

MAX_TOKEN = 64 * 1024


@dataclass(frozen=True, slots=True)
class Metadata:
    """The parts of the provider's metadata that sign-ins need."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None
    posts_secret: bool


class Provider:
    """An OpenID Connect provider from the settings, with its cached metadata and keys."""

    def __init__(self, issuer: str, client_id: str, secret: str | None) -> None:
        self.issuer = issuer
        self.client_id = client_id
        self._secret = secret
        self._lock = threading.Lock()
        self._metadata: tuple[float, Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    def login_url(self, redirect_uri: str, **parameters: str) -> str:
        """Return the provider's address to which the browser is redirected to sign in."""
        endpoint = self.metadata().authorization_endpoint
        query = urlencode(
            {
                "response_type": "code",
                "client_id": self.client_id,
                "redirect_uri": redirect_uri,
                "code_challenge_method": "S256",
                **parameters,
            }
        )
        return f"{endpoint}{'&' if urlsplit(endpoint).query else '?'}{query}"

    def redeem(self, code: str, verifier: str, nonce: str, redirect_uri: str) -> dict[str, Any]:
        """Exchange ``code`` for tokens and return the claims about the user.

        Raises:
            SsoFailed: when the provider rejects the code, or its response can't be verified.
            SsoUnavailable: when the provider is unreachable.
        """
        answer = self._token(code, verifier, redirect_uri)
        token = answer.get("id_token")
        if not isinstance(token, str) or len(token) > MAX_TOKEN:
            raise SsoFailed(
                reason="the provider sent no ID token", reason_zh="身份提供方未返回 ID 令牌"
            )
        claims = self.validate(token, nonce)
        access = answer.get("access_token")
        if isinstance(access, str):
            claims = {**self._userinfo(access, claims["sub"]), **claims}
        return claims

    def validate(self, token: str, nonce: str) -> dict[str, Any]:
        """Verify an ID token and return its claims.

        Raises:
            SsoFailed: when the signature is invalid, or a claim is not the expected one.
        """
        try:
            decoded = self._decode(token)
            registry = jwt.JWTClaimsRegistry(
                leeway=LEEWAY_SECONDS,
                iss={"essential": True, "value": self.issuer},
                aud={"essential": True, "value": self.client_id},
                sub={"essential": True},
                exp={"essential": True},
                iat={"essential": True},
                nonce={"essential": True, "value": nonce},
            )
            registry.validate(decoded)
        except (JoseError, ValueError, TypeError) as error:
            log.warning("ID token refused", issuer=self.issuer, error=repr(error)[:300])
            raise SsoFailed(reason="the ID token is not valid", reason_zh="ID 令牌无效") from error
        subject, audience, party = (decoded.get(name) for name in ("sub", "aud", "azp"))
        several = isinstance(audience, list) and len(audience) > 1
        if (
            not isinstance(subject, str)
            or not 0 < len(subject) <= 255
            or ((party is not None or several) and party != self.client_id)
        ):
            log.warning("ID token refused", issuer=self.issuer, error="sub or azp")
            raise SsoFailed(reason="the ID token is not valid", reason_zh="ID 令牌无效")
        return decoded

    def _decode(self, token: str) -> dict[str, Any]:
        try:
            return dict(jwt.decode(token, self.keys(), algorithms=ALGORITHMS).claims)
        except (JoseError, ValueError):
            # The provider may have changed its keys since they were last fetched.
            if not self._forget_keys():
                raise
            return dict(jwt.decode(token, self.keys(), algorithms=ALGORITHMS).claims)

    def metadata(self) -> Metadata:
        """Return the provider's metadata, cached for an hour.

        Raises:
            SsoUnavailable: when the provider is unreachable, or its metadata is unusable.
        """
        with self._lock:
            if self._metadata is None or time.monotonic() - self._metadata[0] > CACHE_SECONDS:
                url = f"{self.issuer.rstrip('/')}/.well-known/openid-configuration"
                self._metadata = (time.monotonic(), self._read_metadata(_get(url)))
            return self._metadata[1]

    def keys(self) -> KeySet:
        """Return the provider's current signing keys.

        Raises:
            SsoUnavailable: when the provider is unreachable, or publishes no usable keys.
        """
        url = self.metadata().jwks_uri
        with self._lock:
            if self._keys is None or time.monotonic() - self._keys[0] > CACHE_SECONDS:
                published = _get(url).get("keys")
                try:
                    # A key of an unknown type must not prevent the import of the others.
                    usable = [key for key in published or () if key.get("kty") in KEY_TYPES]
                    found = KeySet.import_key_set({"keys": usable})
                except (JoseError, ValueError, TypeError, AttributeError) as error:
                    raise SsoUnavailable from error
                self._keys = (time.monotonic(), found)
            return self._keys[1]

    def _forget_keys(self) -> bool:
        with self._lock:
            if self._keys is None or time.monotonic() - self._keys[0] < REFETCH_SECONDS:
                return False
            self._keys = None
            return True

    def _read_metadata(self, document: dict[str, Any]) -> Metadata:
        names = ("authorization_endpoint", "token_endpoint", "jwks_uri")
        found = [document.get(name) for name in names]
        scheme = urlsplit(self.issuer).scheme
        fit = all(
            isinstance(url, str) and urlsplit(url).scheme in {"https", scheme} for url in found
        )
        if document.get("issuer") != self.issuer or not fit:
            log.warning(
                "provider is another, or incomplete", issuer=self.issuer, says=str(document)[:300]
            )
            raise SsoUnavailable
        methods = document.get("token_endpoint_auth_methods_supported") or ["client_secret_basic"]
        userinfo = document.get("userinfo_endpoint")
        return Metadata(
            issuer=self.issuer,
            authorization_endpoint=str(found[0]),
            token_endpoint=str(found[1]),
            jwks_uri=str(found[2]),
            userinfo_endpoint=userinfo if isinstance(userinfo, str) else None,
            posts_secret="client_secret_basic" not in methods,
        )

    def _token(self, code: str, verifier: str, redirect_uri: str) -> dict[str, Any]:
        metadata = self.metadata()
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        auth: httpx.Auth = httpx.Auth()
        if self._secret is None or metadata.posts_secret:
            form["client_id"] = self.client_id
        if self._secret is not None and metadata.posts_secret:
            form["client_secret"] = self._secret
        elif self._secret is not None:
            auth = httpx.BasicAuth(self.client_id, self._secret)
        try:
            with outgoing.client() as client:
                answer = client.post(metadata.token_endpoint, data=form, auth=auth)
            content = answer.json()
        except (httpx.HTTPError, ValueError) as error:
            log.warning("provider does not answer", issuer=self.issuer, error=repr(error)[:300])
            raise SsoUnavailable from error
        if answer.status_code != 200 or not isinstance(content, dict):
            log.warning("provider refused the code", issuer=self.issuer, status=answer.status_code)
            raise SsoFailed(
                reason="the provider refused the code", reason_zh="身份提供方拒绝了授权码"
            )
        return content

    def _userinfo(self, access_token: str, subject: str) -> dict[str, Any]:
        """Return further claims about the user from the provider's userinfo endpoint.

        The result is empty if the endpoint is missing or unreachable, or describes another user.
        """
        url = self.metadata().userinfo_endpoint
        if url is None:
            return {}
        try:
            found = _get(url, {"Authorization": f"Bearer {access_token}"})
        except SsoUnavailable:
            return {}
        return found if found.get("sub") == subject else {}


def _get(url: str, headers: dict[str, str] | None = None) -> dict[str, Any]:
    try:
        with outgoing.client() as client:
            answer = client.get(url, headers=headers).raise_for_status()
        content = answer.json()
    except (httpx.HTTPError, ValueError) as error:
        log.warning("provider does not answer", url=url, error=repr(error)[:300])
        raise SsoUnavailable from error
    if not isinstance(content, dict):
        raise SsoUnavailable
    return content


_providers: dict[tuple[str, str, str | None], Provider] = {}


def provider_of(settings: Settings) -> Provider | None:
    """Return the cached provider named in the settings, or None if they name none."""
    if settings.oidc_issuer is None or settings.oidc_client_id is None:
        return None
    secret = settings.oidc_client_secret
    key = (
        settings.oidc_issuer,
        settings.oidc_client_id,
        None if secret is None else secret.get_secret_value(),
    )
    return _providers.setdefault(key, Provider(*key))
