"""The bookings of an order that touch only our own Postgres: reservation, approval, undoing, operators' repairs."""

from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.compensation import announce_next_compensation
from contracts.books import Approve, BeginUndo, Booking, Park, Progress, Reserve, Resolve, Retry
from contracts.errors import ErrorCode
from contracts.orders import EventType, Failure, FailureCode, OrderStatus, Phase
from contracts.steps import ABSENT, StepName, StepOutcome, find_step

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.books import Books, OpenOrder


class OrderActivities:
    """Keeps the books of orders. Every booking may run again and then changes nothing."""

    def __init__(self, books: "Books") -> None:
        self.books = books

    @activity.defn
    async def reserve(self, booking: Reserve) -> Progress:
        """Enter the order, set its stock aside, and announce what comes next: the charge, or a wait for approval.

        An order that cannot be met is rejected here and now: nothing was done that would have to be undone.
        """
        placed = booking.order
        status = OrderStatus.AWAITING_APPROVAL if placed.needs_approval else OrderStatus.PROCESSING
        async with self.books.placed(placed, status, booking.at, activity.info().workflow_run_id or "") as order:
            if not order.has(EventType.ACCEPTED):
                order.note(EventType.ACCEPTED, placed.accepted_at, str(placed.total))
                short = await order.reserve_stock()
                if short:
                    order.failure = Failure(
                        code=FailureCode.OUT_OF_STOCK, message=f"not enough of {', '.join(short)} is available"
                    )
                    order.close(OrderStatus.REJECTED, booking.at, order.failure.message)
                else:
                    order.note(EventType.RESERVED, booking.at, f"{len(placed.lines)} lines")
                    if placed.needs_approval:
                        order.note(EventType.APPROVAL_REQUESTED, booking.at, f"the total is {placed.total}")
                    else:
                        order.announce(StepName.CHARGE, booking.at)
            return order.progress(booking.known)

    @activity.defn
    async def approve(self, booking: Approve) -> Progress:
        """Record an operator's approval and announce the charge."""
        async with self.books.order(booking.order_id) as order:
            if order.phase is Phase.FORWARD and not order.has(EventType.APPROVED):
                order.status = OrderStatus.PROCESSING
                order.note(EventType.APPROVED, booking.at, booking.approved_by)
                order.announce(StepName.CHARGE, booking.at)
            return order.progress(booking.known)

    @activity.defn
    async def begin_undo(self, booking: BeginUndo) -> Progress:
        """Turn the order round and announce the first compensation.

        What has been done is read from our books, never from what the workflow remembers. They refuse to turn (and
        the phase stays `forward`) when the carrier may know of the order and the booking does not allow for that.
        """
        async with self.books.order(booking.order_id) as order:
            shipping = find_step(order.steps, StepName.SHIP) is not None
            if order.phase is Phase.FORWARD and (booking.even_if_shipping or not shipping):
                order.phase = Phase.UNDOING
                order.status = OrderStatus.PROCESSING
                order.failure = booking.failure
                order.final_status = booking.status
                if booking.resolved_by:
                    order.note(EventType.RESOLVED, booking.at, booking.resolved_by, key="resolved/undo")
                order.note(EventType.COMPENSATION_STARTED, booking.at, booking.detail)
                announce_next_compensation(order, booking.at)
            return order.progress(booking.known)

    @activity.defn
    async def finish_undo(self, booking: Booking) -> Progress:
        """Release the reservation, the first thing done and so the last undone, and close the order."""
        async with self.books.order(booking.order_id) as order:
            if order.phase is Phase.UNDOING:
                # Announced for effects that, as it turned out, there were none of.
                for step in [step for step in order.steps if step.outcome is None]:
                    order.settle(step.name, ABSENT)
                await _release(order, booking)
                status = order.final_status or OrderStatus.CANCELLED
                order.close(status, booking.at, order.failure.message if order.failure else "undone")
            return order.progress(booking.known)

    @activity.defn
    async def park(self, booking: Park) -> Progress:
        """Hand the order to an operator, with what is left to do.

        Nothing is left, and nothing is booked, when the call was settled by an answer that came after all.
        """
        async with self.books.order(booking.order_id) as order:
            unsettled = order.phase is not Phase.CLOSED and order.step(booking.step).outcome is None
            if unsettled and not order.has(booking.key):
                order.status = OrderStatus.NEEDS_ATTENTION
                order.note(EventType.NEEDS_ATTENTION, booking.at, booking.left, key=booking.key)
            return order.progress(booking.known)

    @activity.defn
    async def retry(self, booking: Retry) -> Progress:
        """Take the order back from the operator and go on where it stopped."""
        async with self.books.order(booking.order_id) as order:
            if order.phase is not Phase.CLOSED and not order.has(booking.key):
                order.status = OrderStatus.PROCESSING
                order.note(EventType.RETRIED, booking.at, booking.retried_by, key=booking.key)
            return order.progress(booking.known)

    @activity.defn
    async def resolve(self, booking: Resolve) -> Progress:
        """Close the order by hand.

        Raises books_contradict (not retried) when the books know better than that status.
        """
        async with self.books.order(booking.order_id) as order:
            if order.phase is not Phase.CLOSED:
                contradiction = _contradiction(order, booking.status)
                if contradiction:
                    raise ApplicationError(contradiction, type=ErrorCode.BOOKS_CONTRADICT, non_retryable=True)
                order.note(EventType.RESOLVED, booking.at, booking.resolved_by)
                if booking.status is OrderStatus.COMPLETED:
                    order.failure = None
                    await order.ship_stock()
                else:
                    await _release(order, booking)
                order.close(booking.status, booking.at, "closed by hand")
            return order.progress(booking.known)


async def _release(order: "OpenOrder", booking: Booking) -> None:
    if await order.release_stock():
        order.note(EventType.RESERVATION_RELEASED, booking.at, "the stock is available again")


def _contradiction(order: "OpenOrder", status: OrderStatus) -> str | None:
    """Why our books don't allow this status; None when they do.

    `completed` needs both effects on record. For the others it is enough that each effect's undoing was announced:
    what became of that, the operator knows better than our books.
    """
    outcome = {step.name: step.outcome for step in order.steps}
    charged = outcome.get(StepName.CHARGE) is StepOutcome.SUCCEEDED
    shipped = outcome.get(StepName.SHIP) is StepOutcome.SUCCEEDED
    match status:
        case OrderStatus.COMPLETED:
            if not charged or outcome.get(StepName.REFUND) is StepOutcome.SUCCEEDED:
                return "the order is not paid"
            if not shipped or outcome.get(StepName.CANCEL_SHIPMENT) is StepOutcome.SUCCEEDED:
                return "the order is not shipped"
        case OrderStatus.CANCELLED | OrderStatus.REJECTED:
            if shipped and StepName.CANCEL_SHIPMENT not in outcome:
                return "the order was shipped and not called back"
            if charged and StepName.REFUND not in outcome:
                return "the order was charged and not refunded"
        case _:
            return "the order has one fulfilment: it was shipped as a whole or not at all"
    return None
