"""Charges and refunds, and the booking of what became of them."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.charge_booking import book_charge
from activities.clock import attempt_time
from activities.provider_calls import (
    CallRefused,
    NeverHappened,
    ProviderCaller,
    is_awaited,
    refusal,
    renew_key,
    try_again,
)
from contracts.books import Progress, ProviderStep
from contracts.failures import FailureCode
from contracts.orders import EventType
from contracts.providers import ChargeRequest, RefundRequest
from contracts.steps import ABSENT, Outcome, StepName, refused, succeeded

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.books import Books
    from providers.payments import PaymentProvider


class PaymentActivities:
    """Charges and refunds through the payment provider."""

    def __init__(self, provider: "PaymentProvider", books: "Books", caller: ProviderCaller) -> None:
        self.provider = provider
        self.books = books
        self.caller = caller

    @activity.defn
    async def charge(self, announced: ProviderStep[ChargeRequest]) -> Progress:
        """Take what the fulfilment costs once, however often this runs, and announce the shipment.

        Raises payment_declined (not retried) when the issuer refuses.
        """
        call = announced.call
        try:
            charge_id = await self.caller.call(
                announced,
                lambda step, timeout_s: self.provider.charge(call, step, timeout_s=timeout_s),
                find=lambda: self.provider.find_charge(call, announced.step),
            )
        except CallRefused as no:
            progress = await self._book_charge(announced, refused(no.message))
            raise refusal(FailureCode.PAYMENT_DECLINED, no.message, progress) from no
        except NeverHappened as never:
            progress = await renew_key(self.books, announced, never.step)
            if progress.goes_forward(call.fulfilment):
                raise try_again(never, "provider_silent") from never
            return await self._book_charge(announced, ABSENT)
        return await self._book_charge(announced, succeeded(charge_id))

    async def _book_charge(self, announced: ProviderStep[ChargeRequest], outcome: Outcome) -> Progress:
        async with self.books.order(announced.order_id) as order:
            if is_awaited(order, announced.step):
                book_charge(
                    order, announced.step.fulfilment, announced.call.amount, outcome, attempt_time(announced.at)
                )
            return order.progress(announced.known, fulfilment=announced.step.fulfilment)

    @activity.defn
    async def refund(self, announced: ProviderStep[RefundRequest]) -> Progress:
        """Give the fulfilment's charge back once, however often this runs.

        Raises refund_refused (not retried) when the provider won't.
        """
        call = announced.call
        try:
            refund_id = await self.caller.call(
                announced,
                lambda step, timeout_s: self.provider.refund(call, step, timeout_s=timeout_s),
                find=lambda: self.provider.find_refund(call.charge_id),
            )
        except CallRefused as no:
            progress = await renew_key(self.books, announced, no.step)
            raise refusal("refund_refused", no.message, progress) from no
        except NeverHappened as never:
            await renew_key(self.books, announced, never.step)
            raise try_again(never, "provider_silent") from never
        async with self.books.order(announced.order_id) as order:
            if is_awaited(order, announced.step):
                order.settle(StepName.REFUND, call.fulfilment, succeeded(refund_id))
                order.note_of(call.fulfilment, EventType.REFUNDED, attempt_time(announced.at), str(call.amount))
            return order.progress(announced.known, fulfilment=announced.step.fulfilment)
