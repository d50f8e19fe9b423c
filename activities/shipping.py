"""Shipments and their cancellation, and the booking of what became of them."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.clock import attempt_time
from activities.compensation import announce_next_compensation
from activities.provider_calls import CallRefused, ProviderCaller, is_awaited, refusal, renew_key
from contracts.books import Progress, ProviderStep
from contracts.orders import EventType, FailureCode, OrderStatus, Phase
from contracts.providers import CancelShipmentRequest, ShipRequest
from contracts.steps import Outcome, StepName, StepOutcome, refused, succeeded

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.books import Books
    from providers.carrier import Carrier


class ShippingActivities:
    """Hands parcels to the carrier and calls them back."""

    def __init__(self, carrier: "Carrier", books: "Books", caller: ProviderCaller) -> None:
        self.carrier = carrier
        self.books = books
        self.caller = caller

    @activity.defn
    async def ship(self, announced: ProviderStep[ShipRequest]) -> Progress:
        """Hand the order to the carrier once, however often this runs; with that a paid order is complete.

        Raises shipping_failed (not retried) when the carrier won't take it.
        """
        try:
            shipment_id = await self.caller.call(
                announced, lambda step, timeout_s: self.carrier.ship(announced.call, step, timeout_s=timeout_s)
            )
        except CallRefused as no:
            progress = await self._book_shipment(announced, refused(no.message))
            raise refusal(FailureCode.SHIPPING_FAILED, no.message, progress) from no
        return await self._book_shipment(announced, succeeded(shipment_id))

    async def _book_shipment(self, announced: ProviderStep[ShipRequest], outcome: Outcome) -> Progress:
        async with self.books.order(announced.order_id) as order:
            if is_awaited(order, StepName.SHIP):
                at = attempt_time(announced.at)
                order.settle(StepName.SHIP, outcome)
                if outcome.outcome is StepOutcome.SUCCEEDED:
                    order.note(EventType.SHIPPED, at, f"shipment {outcome.reference}")
                if order.phase is Phase.UNDOING:
                    announce_next_compensation(order, at)
                elif outcome.outcome is StepOutcome.SUCCEEDED:
                    await order.ship_stock()
                    order.close(OrderStatus.COMPLETED, at, "every line was paid and handed to the carrier")
            return order.progress(announced.known)

    @activity.defn
    async def cancel_shipment(self, announced: ProviderStep[CancelShipmentRequest]) -> Progress:
        """Call the order's shipment back once, however often this runs.

        Raises cancellation_refused (not retried) when it is on its way already.
        """
        try:
            await self.caller.call(
                announced,
                lambda step, timeout_s: self.carrier.cancel_shipment(announced.call, step, timeout_s=timeout_s),
            )
        except CallRefused as no:
            progress = await renew_key(self.books, announced, no.step)
            raise refusal("cancellation_refused", no.message, progress) from no
        async with self.books.order(announced.order_id) as order:
            if is_awaited(order, StepName.CANCEL_SHIPMENT):
                at = attempt_time(announced.at)
                order.settle(StepName.CANCEL_SHIPMENT, succeeded(announced.call.shipment_id))
                order.note(EventType.SHIPMENT_CANCELLED, at, f"shipment {announced.call.shipment_id}")
                announce_next_compensation(order, at)
            return order.progress(announced.known)
