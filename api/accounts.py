"""/v1/accounts: sign up, confirm the address, read and erase the account."""

from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from api.account_resource import AccountResource
from api.bodies import AsideBody, ConfirmBody, SignUpBody, note_of
from api.dependencies import (
    OPTIONAL_KEY_PARAMETER,
    AccountIdInPath,
    Accounts,
    Acting,
    Caller,
    NoteInQuery,
    OptionalIdempotencyKey,
)
from api.errors import (
    ConfirmationInvalid,
    IdempotencyKeyInvalid,
    IdempotencyKeyReused,
    NotAwaitingConfirmation,
    NotFound,
    TemporarilyUnavailable,
)
from api.responses import answer
from api.routing import GuardedRoute, open_to_all, problems, requires_token

router = APIRouter(prefix="/v1/accounts", tags=["accounts"], route_class=GuardedRoute)

SIGNED_UP: dict[int | str, dict[str, Any]] = {
    201: {
        "description": "Signed up: a mail with a link to confirm the address is on its way",
        "headers": {
            "Location": {"schema": {"type": "string"}, "description": "the account's URL"},
            "Idempotent-Replayed": {"schema": {"const": "true"}, "description": "when this key was used before"},
        },
    },
}


@router.post(
    "",
    status_code=201,
    response_model=AccountResource,
    openapi_extra={"parameters": [OPTIONAL_KEY_PARAMETER]},
    responses=SIGNED_UP | problems(IdempotencyKeyInvalid, IdempotencyKeyReused, TemporarilyUnavailable),
)
@open_to_all()
async def sign_up(body: SignUpBody, key: OptionalIdempotencyKey, accounts: Accounts) -> Response:
    """Sign up. The answer is the same for an address that is taken, whose owner gets a mail that says so.

    It does not wait for the mail, which is sent over any crash.
    """
    signed_up = await accounts.sign_up(key, body)
    headers = {"Location": signed_up.account.links.self}
    if signed_up.replayed:
        headers["Idempotent-Replayed"] = "true"
    return answer(signed_up.account, 201, headers)


@router.post(
    "/confirm",
    response_model=AccountResource,
    responses=problems(ConfirmationInvalid, TemporarilyUnavailable),
)
@open_to_all()
async def confirm(body: ConfirmBody, accounts: Accounts) -> Response:
    """Confirm an address with the token of the link that was sent to it. Repeating it is harmless."""
    return answer(await accounts.confirm(body.token))


@router.get("/{account_id}", response_model=AccountResource, responses=problems(NotFound))
@requires_token()
async def get_account(account_id: AccountIdInPath, caller: Caller, accounts: Accounts) -> Response:
    """Read an account: one's own, whatever the token's scopes, or any for an operator."""
    return answer(await accounts.get(caller, account_id))


@router.post(
    "/{account_id}/resend",
    status_code=202,
    response_model=AccountResource,
    responses=problems(NotFound, NotAwaitingConfirmation),
)
@requires_token()
async def resend(
    account_id: AccountIdInPath, caller: Caller, acting: Acting, accounts: Accounts, body: AsideBody | None = None
) -> Response:
    """Have the confirmation link sent again, at most every 60 seconds."""
    return answer(await accounts.resend(caller, account_id, acting.because(note_of(body))), 202)


@router.delete("/{account_id}", status_code=204, response_class=Response, responses=problems(NotFound))
@requires_token()
async def delete_account(
    account_id: AccountIdInPath, caller: Caller, acting: Acting, accounts: Accounts, note: NoteInQuery = None
) -> Response:
    """Erase an account and all personal data of its owner, and end its welcome."""
    await accounts.delete(caller, account_id, acting.because(note))
    return Response(status_code=204)
