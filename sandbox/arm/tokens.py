# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Access tokens: signed by the sandbox, checked on every ARM call."""

from __future__ import annotations

import base64
import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from sandbox.arm.errors import ArmError
from sandbox.arm.tls import write_private
from sandbox.clock import clock

LIFETIME = 86399
AUDIENCES = ("https://management.azure.com", "https://management.core.windows.net")


@dataclass(frozen=True)
class Principal:
    """Who a token is for: object id, application (client) id, and the resource of a managed identity."""

    oid: str
    appid: str
    resource_id: str = ""


class Tokens:
    """Issues and verifies tokens of one tenant. The key lives in ``directory`` and survives restarts."""

    def __init__(self, directory: Path, tenant: str) -> None:
        self.tenant = tenant
        # Both can be changed by a fault: how long tokens live, and before when (ns) none was issued that is still good.
        self.lifetime = LIFETIME
        self.good_since, self._expired_at = 0, 0.0
        path = directory / "token.key"
        if not path.exists():
            key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
            pem = key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
            write_private(path, pem)
        loaded = serialization.load_pem_private_key(path.read_bytes(), None)
        if not isinstance(loaded, rsa.RSAPrivateKey):
            raise TypeError(f"{path} is not an RSA key")
        self._private = loaded
        numbers = loaded.public_key().public_numbers()
        self.kid = _base64(numbers.n)[:27]
        self._jwk = {"kty": "RSA", "use": "sig", "kid": self.kid, "n": _base64(numbers.n), "e": _base64(numbers.e)}

    def jwks(self) -> dict[str, Any]:
        return {"keys": [self._jwk]}

    def expire(self) -> None:
        """Let all tokens that were issued so far be expired."""
        self.good_since, self._expired_at = time.time_ns(), clock.now()

    def issue(self, principal: Principal, audience: str, lifetime: int | None = None) -> str:
        """A token for ``audience`` that is good for ``lifetime`` seconds (None: as long as tokens live)."""
        now, lifetime = int(clock.now()), self.lifetime if lifetime is None else lifetime
        claims = {
            "aud": audience,
            "iss": f"https://sts.windows.net/{self.tenant}/",
            "iat": now,
            "nbf": now,
            "exp": now + lifetime,
            # Opaque to clients; ours begins with the nanosecond of issue.
            "aio": f"{time.time_ns():016x}{secrets.token_urlsafe(12)}",
            "appid": principal.appid,
            "appidacr": "1",
            "idp": f"https://sts.windows.net/{self.tenant}/",
            "idtyp": "app",
            "oid": principal.oid,
            "sub": principal.oid,
            "tid": self.tenant,
            "uti": secrets.token_urlsafe(16),
            "ver": "1.0",
            "xms_tcdt": "1577836800",
        }
        if principal.resource_id:
            claims["xms_mirid"] = principal.resource_id
        return jwt.encode(claims, self._private, "RS256", headers={"kid": self.kid, "x5t": self.kid})

    def verify(self, authorization: str | None, audiences: tuple[str, ...] = AUDIENCES) -> dict[str, Any]:
        """The claims of an ``Authorization`` header that fits ``audiences``, or the 401 of Resource Manager."""
        if not authorization:
            message = "Authentication failed. The 'Authorization' header is missing."
            raise self._refusal("AuthenticationFailed", message)
        scheme, _unused, token = authorization.partition(" ")
        if scheme.lower() != "bearer" or not token.strip():
            message = (
                "Authentication failed. The 'Authorization' header is provided in an invalid format. "
                "Expected format is 'Bearer <token>'."
            )
            raise self._refusal("AuthenticationFailed", message)
        try:
            claims: dict[str, Any] = jwt.decode(
                token.strip(),
                self._private.public_key(),
                algorithms=["RS256"],
                # Times are those of our clock, which need not be the host's.
                options={
                    "verify_aud": False,
                    "verify_exp": False,
                    "verify_nbf": False,
                    "verify_iat": False,
                    "require": ["exp", "aud", "tid"],
                },
            )
            expires = float(claims["exp"])
        except (jwt.InvalidTokenError, TypeError, ValueError):
            raise self._refusal("InvalidAuthenticationToken", "The access token is invalid.") from None
        if expires <= clock.now():
            raise self._refusal("ExpiredAuthenticationToken", _expired(expires))
        if _issued(claims) < self.good_since:
            raise self._refusal("ExpiredAuthenticationToken", _expired(min(expires, self._expired_at)))
        if str(claims["aud"]).rstrip("/") not in audiences:
            message = (
                "The access token has been obtained for wrong audience or resource "
                f"'{claims['aud']}'. It should exactly match with one of the allowed audiences "
                f"'{','.join(f'{a},{a}/' for a in audiences)}'."
            )
            raise self._refusal("InvalidAuthenticationTokenAudience", message)
        return claims

    def _refusal(self, code: str, message: str) -> ArmError:
        challenge = (
            f'Bearer authorization_uri="https://login.microsoftonline.com/{self.tenant}", error="invalid_token", '
            f'error_description="{message}"'
        )
        return ArmError(401, code, message, headers={"WWW-Authenticate": challenge})


def _issued(claims: dict[str, Any]) -> int:
    """When (ns) a token was issued; 0 for one that an older sandbox issued, whose tokens said only the second."""
    try:
        return int(str(claims.get("aio", ""))[:16], 16)
    except ValueError:
        return 0


def _expired(at: float) -> str:
    ended, now = (datetime.fromtimestamp(moment, UTC) for moment in (at, clock.now()))
    return (
        f"The access token expiry UTC time '{ended:%m/%d/%Y %H:%M:%S}' is earlier than current UTC time "
        f"'{now:%m/%d/%Y %H:%M:%S}'."
    )


def _base64(number: int) -> str:
    raw = number.to_bytes((number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
