"""What an account's welcome writes into our tables."""

from typing import TYPE_CHECKING

from temporalio import activity

from contracts.accounts import AccountStatus

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.accounts import AccountRepository


class AccountActivities:
    """Changes accounts."""

    def __init__(self, accounts: "AccountRepository") -> None:
        self.accounts = accounts

    @activity.defn
    async def expire_account(self, account_id: str) -> AccountStatus | None:
        """Mark an account whose address was not confirmed in time; it is kept.

        Returns what it is then: a confirmation that came first counts. None when the account is gone.
        """
        return await self.accounts.expire(account_id)
