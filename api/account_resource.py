"""An account as clients see it."""

from datetime import datetime
from typing import Self

from pydantic import BaseModel, ConfigDict, Field

from contracts.accounts import Account, AccountStatus

_ID = "acct_3ZGVBHQ8S1KX5M7T2N4R6W8Y0C"


class AccountLinks(BaseModel, frozen=True):
    """Where to go from here."""

    self: str
    resend: str


class AccountResource(BaseModel):
    """Somebody who signed up."""

    model_config = ConfigDict(
        frozen=True,
        json_schema_extra={
            "examples": [
                {
                    "id": _ID,
                    "email": "ada@example.com",
                    "name": "Ada",
                    "status": "pending",
                    "created_at": "2026-03-01T12:00:00Z",
                    "links": {"self": f"/v1/accounts/{_ID}", "resend": f"/v1/accounts/{_ID}/resend"},
                }
            ]
        },
    )

    id: str
    email: str = Field(description="normalised")
    name: str
    status: AccountStatus
    created_at: datetime
    links: AccountLinks

    @classmethod
    def of(cls, account: Account, status: AccountStatus | None = None) -> Self:
        """The account, with a status that its welcome knows better."""
        url = f"/v1/accounts/{account.id}"
        return cls(
            id=account.id,
            email=account.email,
            name=account.name,
            status=status or account.status,
            created_at=account.created_at,
            links=AccountLinks(self=url, resend=f"{url}/resend"),
        )
