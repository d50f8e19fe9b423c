"""The token of a confirmation link: a JWT (RFC 7519) that names the account and expires with its welcome.

Its characters are URL-safe, without padding (RFC 7515, section 2).
"""

from datetime import datetime

import jwt

from contracts.ids import is_account_id

ALGORITHM = "HS256"
AUDIENCE = "followthrough:confirm"


class InvalidConfirmation(ValueError):
    """This token is not one of ours, or has expired."""


def confirmation_token(account_id: str, expires_at: datetime, secret: str) -> str:
    return jwt.encode({"sub": account_id, "aud": AUDIENCE, "exp": expires_at}, secret, algorithm=ALGORITHM)


def confirmed_account_id(token: str, secret: str) -> str:
    """The account whose address this token confirms. Raises InvalidConfirmation."""
    try:
        claims = jwt.decode(
            token, secret, algorithms=[ALGORITHM], audience=AUDIENCE, options={"require": ["sub", "exp", "aud"]}
        )
    except jwt.ExpiredSignatureError as error:
        raise InvalidConfirmation("it has expired") from error
    except jwt.InvalidTokenError as error:
        raise InvalidConfirmation("it is not one that a mail of ours gave") from error
    account_id = claims["sub"]
    if not is_account_id(account_id):
        raise InvalidConfirmation("it is not one that a mail of ours gave")
    return str(account_id)
