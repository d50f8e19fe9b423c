"""Who calls, and what they may do: bearer tokens (RFC 6750) that are JWTs (RFC 7519, RFC 9068)."""

import math
import re
import time
from collections.abc import Collection
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import jwt

from api.errors import Problem, TemporarilyUnavailable, Unauthenticated
from api.keys import ALGORITHMS, KeysUnavailable, SigningKeys

MAX_TOKEN_LENGTH = 8_192
# By how much an issuer's clock may be ahead of ours (RFC 7519, 4.1.5).
CLOCKS_APART_S = 10
# OpenID Connect Core section 2 bounds a subject so. Order ids are derived from it, and our logs show it.
SUBJECT = re.compile(r"[\x20-\x7e]{1,255}")
REALM = 'Bearer realm="followthrough"'


class Scope(StrEnum):
    """What a token may allow."""

    ORDERS_READ = "orders:read"
    ORDERS_WRITE = "orders:write"
    JOBS_WRITE = "jobs:write"
    REPORTS_WRITE = "reports:write"
    WEBHOOKS_WRITE = "webhooks:write"
    OPERATOR = "operator"


@dataclass(frozen=True)
class Principal:
    """Who calls: the token's subject and its scopes, and until when it counts, in seconds since the epoch."""

    subject: str
    scopes: frozenset[str]
    expires_at: float = field(default=math.inf, compare=False)

    @property
    def is_operator(self) -> bool:
        return Scope.OPERATOR in self.scopes

    def may(self, scope: Scope) -> bool:
        """Whether the token allows this: `x:write` implies reading x, and operators read everything."""
        if scope in self.scopes:
            return True
        resource, _, action = scope.partition(":")
        return action == "read" and (self.is_operator or f"{resource}:write" in self.scopes)

    def may_any(self, scopes: Collection[Scope]) -> bool:
        return any(self.may(scope) for scope in scopes)

    def owns(self, customer_id: str) -> bool:
        """Whether what belongs to this customer is the caller's to see; operators see everything."""
        return self.is_operator or self.subject == customer_id

    def acts_for(self, owner: str | None) -> bool:
        """Whether what the caller does to something of this owner's is an operator's act: for somebody else."""
        return self.is_operator and self.subject != owner


class TokenVerifier:
    """Turns an Authorization header, or a bare token, into a principal."""

    def __init__(self, keys: SigningKeys, *, issuer: str, audience: str) -> None:
        self._keys = keys
        self._issuer = issuer
        self._audience = audience

    async def verify(self, authorization: str | None) -> Principal:
        """Raises Unauthenticated, or TemporarilyUnavailable when there are no keys to judge with."""
        if authorization is None:
            raise Unauthenticated("Send `Authorization: Bearer <token>`.", headers={"WWW-Authenticate": REALM})
        scheme, _, token = authorization.partition(" ")
        if scheme.lower() != "bearer":
            raise _invalid("it is not a bearer token")
        return await self.verify_token(token)

    async def verify_token(self, token: str) -> Principal:
        """Raises as `verify` does."""
        if len(token) > MAX_TOKEN_LENGTH:
            raise _invalid("it is too long for one of ours")
        try:
            claims = await self._claims(token.strip())
        except jwt.ExpiredSignatureError:
            raise _invalid("it has expired") from None
        except jwt.PyJWTError:
            raise _invalid("it was not issued for this API, or not by its issuer") from None
        except KeysUnavailable:
            raise TemporarilyUnavailable("The keys to check tokens with are not available.") from None
        subject, scopes = claims["sub"], claims.get("scope")
        if not SUBJECT.fullmatch(subject):
            raise _invalid("its subject is not 1 to 255 ASCII characters")
        return Principal(
            subject=subject,
            scopes=frozenset(scopes.split() if isinstance(scopes, str) else ()),
            expires_at=float(claims["exp"]),
        )

    async def _claims(self, token: str) -> dict[str, Any]:
        header = jwt.get_unverified_header(token)
        if header.get("alg") not in ALGORITHMS:
            raise jwt.InvalidAlgorithmError
        key = await self._keys.find(header.get("kid"))
        if key is None:
            raise jwt.InvalidKeyError
        claims: dict[str, Any] = jwt.decode(
            token,
            key,
            algorithms=[key.algorithm_name],
            audience=self._audience,
            issuer=self._issuer,
            leeway=CLOCKS_APART_S,
            options={"require": ["exp", "iss", "aud", "sub"]},
        )
        # When it ends a token ends: whoever renews theirs does so before.
        if float(claims["exp"]) <= time.time():
            raise jwt.ExpiredSignatureError
        return claims


def _invalid(why: str) -> Problem:
    header = f'{REALM}, error="invalid_token", error_description="{why}"'
    return Unauthenticated(f"The token is not accepted: {why}.", headers={"WWW-Authenticate": header})
