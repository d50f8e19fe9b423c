"""Shipments and their cancellation, and the booking of what became of them."""

from typing import TYPE_CHECKING

from temporalio import activity

from activities.clock import attempt_time
from activities.compensation import announce_next_compensation
from activities.provider_calls import CallRefused, ProviderCaller, is_awaited, refusal, renew_key
from activities.turns import close_when_done
from contracts.books import Progress, ProviderStep
from contracts.failures import FailureCode
from contracts.fulfilments import FulfilmentStatus
from contracts.orders import EventType
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
        """Hand the fulfilment to the carrier once, however often this runs; the last one completes the order.

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
            if is_awaited(order, announced.step):
                at = attempt_time(announced.at)
                number = announced.step.fulfilment
                order.settle(StepName.SHIP, number, outcome)
                if outcome.reference is not None:
                    order.note_of(number, EventType.SHIPPED, at, f"shipment {outcome.reference}")
                    await order.book_shipment(number, outcome.reference, at)
                if order.fulfilment(number).is_being_undone:
                    announce_next_compensation(order, number, at)
                elif outcome.outcome is StepOutcome.SUCCEEDED:
                    await order.ship_stock(number)
                    order.change(number, status=FulfilmentStatus.SHIPPED)
                    close_when_done(order, at)
            return order.progress(announced.known, fulfilment=announced.step.fulfilment)

    @activity.defn
    async def cancel_shipment(self, announced: ProviderStep[CancelShipmentRequest]) -> Progress:
        """Call the fulfilment's shipment back once, however often this runs.

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
            if is_awaited(order, announced.step):
                at = attempt_time(announced.at)
                number, shipment_id = announced.step.fulfilment, announced.call.shipment_id
                order.settle(StepName.CANCEL_SHIPMENT, number, succeeded(shipment_id))
                order.note_of(number, EventType.SHIPMENT_CANCELLED, at, f"shipment {shipment_id}")
                await order.cancel_shipment(shipment_id, at)
                announce_next_compensation(order, number, at)
            return order.progress(announced.known, fulfilment=announced.step.fulfilment)
