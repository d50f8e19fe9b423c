"""Compares our books with the payment provider's."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import structlog
from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.provider_calls import try_again
from contracts.attention import AttentionItem
from contracts.providers import ProviderFailed, ProviderSilent
from contracts.reconciliation import BookedPayments, Payment, difference, missing
from contracts.upkeep import Period, Reconciled

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.attention import AttentionRepository
    from database.booked_payments import BookedPaymentsRepository
    from providers.payments import PaymentProvider

# More than this in one period would outlast it.
MAX_PAYMENTS = 50_000

log = structlog.get_logger()


class ReconciliationActivities:
    """Reads both, and changes neither."""

    def __init__(
        self, provider: "PaymentProvider", books: "BookedPaymentsRepository", attention: "AttentionRepository"
    ) -> None:
        self.provider = provider
        self.books = books
        self.attention = attention

    @activity.defn
    async def compare_payments(self, period: Period) -> Reconciled:
        """Compare what was charged in this time, and the orders that closed in it. Each difference is one item, once.

        Raises too_many_payments for more than can be compared in time, provider_failed and provider_silent.
        """
        try:
            seen, differences = await self._what_was_charged(period)
            differences += await self._what_was_given_back(period, seen)
            differences += await self._what_was_closed(period, seen)
        except ProviderFailed as error:
            raise try_again(error, "provider_failed", error.retry_after_s) from error
        except ProviderSilent as error:
            raise try_again(error, "provider_silent") from error
        return Reconciled(payments=len(seen), differences=differences)

    async def _what_was_charged(self, period: Period) -> tuple[set[str], int]:
        """From the provider's side: a page of charges, and what our books say of their orders."""
        seen: set[str] = set()
        differences = 0
        async for page in self.provider.payments(period):
            booked = await self.books.of([payment.order_id for payment in page])
            for payment in page:
                if difference(payment, booked.get(payment.order_id)) is not None:
                    differences += await self._compare_now(payment)
            _note(seen, (payment.charge_id for payment in page))
        return seen, differences

    async def _what_was_given_back(self, period: Period, seen: set[str]) -> int:
        """From the provider's side, too: older charges of which something was given back now. They are few."""
        differences = 0
        async for page in self.provider.charges_refunded(period):
            unseen = set(page) - seen
            for charge_id in unseen:
                payment = await self.provider.payment(charge_id)
                if payment is not None:
                    differences += await self._compare_now(payment)
            _note(seen, unseen)
        return differences

    async def _what_was_closed(self, period: Period, seen: set[str]) -> int:
        """From our side: the orders closed since, with charges that were not among those of the provider."""
        differences = 0
        behind = None
        while True:
            page, behind = await self.books.closed(period.since, period.until, behind)
            for booked in page:
                unseen = booked.charges.keys() - seen
                if unseen:
                    differences += await self._compare_order(booked, unseen)
                    _note(seen, unseen)
            if behind is None:
                return differences

    async def _compare_now(self, payment: Payment) -> int:
        """Our books are asked first: what they have of an order that is over has been done at the provider by then."""
        booked = (await self.books.of([payment.order_id])).get(payment.order_id)
        now = await self.provider.payment(payment.charge_id)
        return await self._report([difference(now, booked) if now is not None else None])

    async def _compare_order(self, booked: BookedPayments, unseen: Iterable[str]) -> int:
        payments = await self.provider.payments_of(booked.order_id)
        found = {payment.charge_id for payment in payments}
        # The search is behind by a minute, at times.
        lost = [charge for charge in unseen if charge not in found and await self.provider.payment(charge) is None]
        return await self._report(
            [
                *(difference(payment, booked) for payment in payments),
                *(missing(charge, booked.order_id) for charge in lost),
            ]
        )

    async def _report(self, items: Iterable[AttentionItem | None]) -> int:
        opened = 0
        for item in filter(None, items):
            if await self.attention.open(item):
                opened += 1
                log.warning("attention needed", kind=item.kind, order_id=item.order_id, detail=item.detail)
        return opened


def _note(seen: set[str], charges: Iterable[str]) -> None:
    seen.update(charges)
    if len(seen) > MAX_PAYMENTS:
        raise ApplicationError(f"more than {MAX_PAYMENTS} payments", type="too_many_payments", non_retryable=True)
    activity.heartbeat(len(seen))
