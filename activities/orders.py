"""The bookings of an order that touch only our own Postgres: reservation, approval, undoing, operators' repairs."""

from typing import TYPE_CHECKING, Any

from temporalio import activity
from temporalio.exceptions import ApplicationError

from activities.allocation import allocate
from activities.compensation import announce_next_compensation
from activities.turns import begin_to_pay, close_when_done, first_failure, go_on, is_lost
from contracts.audit import AuditAction
from contracts.books import (
    Amend,
    Approve,
    BeginUndo,
    ChangeAddress,
    FinishUndo,
    Park,
    Progress,
    Reserve,
    Resolve,
    Retry,
)
from contracts.errors import ErrorCode
from contracts.failures import Failure, FailureCode
from contracts.fulfilments import Fulfilment, FulfilmentStatus
from contracts.orders import EventType, OrderStatus, Phase, shipping_has_begun
from contracts.resolutions import contradiction_to_closing, contradiction_to_undoing, kept
from contracts.steps import ABSENT, WHOLE_ORDER, StepName

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.books import Books
    from database.open_order import OpenOrder


class OrderActivities:
    """Keeps the books of orders. Every booking may run again and then changes nothing."""

    def __init__(self, books: "Books") -> None:
        self.books = books

    @activity.defn
    async def reserve(self, booking: Reserve) -> Progress:
        """Enter the order, set its stock aside in the fewest warehouses, and announce what comes next.

        That is the charges, or the check before them, or a wait for approval, or one for the customer when a part of
        the order is to be had nowhere. An order of which nothing is to be had is rejected here and now: nothing was
        done that would have to be undone.
        """
        placed = booking.order
        run_id = activity.info().workflow_run_id or ""
        async with self.books.placed(placed, booking.at, run_id) as (order, available):
            if available is not None:
                order.note(EventType.ACCEPTED, placed.accepted_at, str(placed.total))
                order.fulfilments = allocate(placed.lines, available)
                parcels = [fulfilment for fulfilment in order.fulfilments if fulfilment.warehouse]
                missing = [fulfilment for fulfilment in order.fulfilments if not fulfilment.warehouse]
                if not parcels:
                    order.failure = Failure(
                        code=FailureCode.OUT_OF_STOCK, message=f"none is available of {_skus(missing)}"
                    )
                    order.close(OrderStatus.REJECTED, booking.at, order.failure.message)
                else:
                    order.note(EventType.RESERVED, booking.at, _what_was_reserved(parcels))
                    if missing:
                        order.status = OrderStatus.AWAITING_CUSTOMER
                        order.note(EventType.CUSTOMER_ASKED, booking.at, f"not enough of {_skus(missing)} is available")
                    else:
                        go_on(order, placed.rules, at=booking.at)
            return order.progress(booking.known)

    @activity.defn
    async def amend(self, booking: Amend) -> Progress:
        """Take what no warehouse has off the order, and go on with the rest."""
        async with self.books.order(booking.order_id) as order:
            if order.phase is Phase.FORWARD and not order.has(EventType.AMENDED):
                was = _standing(order)
                [missing] = [fulfilment for fulfilment in order.fulfilments if not fulfilment.warehouse]
                order.remove(missing.lines)
                order.change(missing.number, status=FulfilmentStatus.CANCELLED)
                order.note(EventType.AMENDED, booking.at, f"without {_skus([missing])}; the total is {order.total}")
                go_on(order, booking.rules, at=booking.at)
                await order.audit(booking.act, AuditAction.ORDER_AMEND, was, _standing(order))
            return order.progress(booking.known)

    @activity.defn
    async def change_address(self, booking: ChangeAddress) -> Progress:
        """Have the order sent elsewhere.

        Raises too_late (not retried) once the carrier may have heard of the order.
        """
        async with self.books.order(booking.order_id) as order:
            if not order.has(booking.key):
                if order.phase is not Phase.FORWARD or shipping_has_begun(order.steps):
                    raise ApplicationError(
                        "the order is with the carrier, or over", type=ErrorCode.TOO_LATE, non_retryable=True
                    )
                # What cannot be deleted is no place for anybody's address.
                was = {"country": order.ship_to.country}
                order.send_to(booking.ship_to)
                who = "by the customer" if booking.act is None else f"by {booking.act.actor}"
                order.note(EventType.ADDRESS_CHANGED, booking.at, who, key=booking.key)
                now = {"country": booking.ship_to.country}
                await order.audit(booking.act, AuditAction.ORDER_CHANGE_ADDRESS, was, now)
            return order.progress(booking.known)

    @activity.defn
    async def approve(self, booking: Approve) -> Progress:
        """Record an operator's approval and announce the charges."""
        async with self.books.order(booking.order_id) as order:
            if order.phase is Phase.FORWARD and not order.has(EventType.APPROVED):
                was = {"status": order.status}
                order.note(EventType.APPROVED, booking.at, booking.approved_by)
                begin_to_pay(order, at=booking.at)
                await order.audit(booking.act, AuditAction.ORDER_APPROVE, was)
            return order.progress(booking.known)

    @activity.defn
    async def begin_undo(self, booking: BeginUndo) -> Progress:
        """Turn the order or one of its fulfilments round, and announce the first compensations.

        What has been done is read from our books, never from what the workflow remembers. They refuse to turn (and
        the phase stays `forward`) when something was shipped, or the carrier may know of the order and the booking does
        not allow for that. An order whose last hope fails turns round as a whole.
        """
        async with self.books.order(booking.order_id) as order:
            if order.phase is Phase.FORWARD:
                if booking.fulfilment is not None:
                    _fail(order, booking.fulfilment, booking)
                elif _may_turn_round(order, booking):
                    was = {"status": order.status}
                    _turn_round(order, booking)
                    if booking.deed is not None:
                        now = {"status": order.status, "ends_as": order.final_status}
                        await order.audit(booking.deed.act, booking.deed.action, was, now)
            return order.progress(booking.known, fulfilment=booking.fulfilment)

    @activity.defn
    async def finish_undo(self, booking: FinishUndo) -> Progress:
        """Release what the fulfilment holds, the first thing done and so the last undone; the last ends the order."""
        async with self.books.order(booking.order_id) as order:
            fulfilment = order.fulfilment(booking.fulfilment)
            if fulfilment.is_being_undone:
                # Announced for effects that, as it turned out, there were none of.
                for step in [step for step in order.steps if step.outcome is None]:
                    if step.fulfilment == fulfilment.number:
                        order.settle(step.name, step.fulfilment, ABSENT)
                await _release(order, booking, fulfilment.number)
                order.change(fulfilment.number, status=fulfilment.ends_as)
                close_when_done(order, booking.at)
            # The last one changes the order, not its other fulfilments.
            return order.progress(booking.known, fulfilment=booking.fulfilment)

    @activity.defn
    async def park(self, booking: Park) -> Progress:
        """Hand the order to an operator, with what is left to do.

        Nothing is left, and nothing is booked, when the call was settled by an answer that came after all.
        """
        async with self.books.order(booking.order_id) as order:
            unsettled = order.phase is not Phase.CLOSED and order.step(booking.step, booking.fulfilment).outcome is None
            if unsettled and not order.has(booking.key):
                order.status = OrderStatus.NEEDS_ATTENTION
                order.note(EventType.NEEDS_ATTENTION, booking.at, booking.left, key=booking.key)
            return order.progress(booking.known)

    @activity.defn
    async def retry(self, booking: Retry) -> Progress:
        """Take the order back from the operator and go on where it stopped."""
        async with self.books.order(booking.order_id) as order:
            if order.phase is not Phase.CLOSED and not order.has(booking.key):
                was = {"status": order.status}
                order.status = OrderStatus.PROCESSING
                order.note(EventType.RETRIED, booking.at, booking.retried_by, key=booking.key)
                await order.audit(booking.act, AuditAction.ORDER_RETRY, was)
            return order.progress(booking.known)

    @activity.defn
    async def resolve(self, booking: Resolve) -> Progress:
        """Close the order by hand.

        Raises books_contradict (not retried) when the books know better than that status.
        """
        async with self.books.order(booking.order_id) as order:
            if order.phase is not Phase.CLOSED:
                contradiction = contradiction_to_closing(order, booking.status)
                if contradiction:
                    raise ApplicationError(contradiction, type=ErrorCode.BOOKS_CONTRADICT, non_retryable=True)
                was = {"status": order.status}
                order.note(EventType.RESOLVED, booking.at, booking.resolved_by)
                keeps = {fulfilment.number for fulfilment in kept(order, booking.status)}
                for fulfilment in order.fulfilments:
                    if not fulfilment.status.is_open:
                        continue
                    if fulfilment.number in keeps:
                        await order.ship_stock(fulfilment.number)
                        order.change(fulfilment.number, status=FulfilmentStatus.SHIPPED, failure=None)
                    else:
                        await _release(order, booking, fulfilment.number)
                        ends_as = fulfilment.ends_as or FulfilmentStatus.CANCELLED
                        order.change(fulfilment.number, status=ends_as)
                if booking.status is OrderStatus.COMPLETED:
                    order.failure = None
                elif booking.status is OrderStatus.PARTIALLY_COMPLETED:
                    order.failure = first_failure(order)
                order.close(booking.status, booking.at, "closed by hand")
                await order.audit(booking.act, AuditAction.ORDER_RESOLVE, was)
            return order.progress(booking.known)


def _standing(order: "OpenOrder") -> dict[str, Any]:
    return {"status": order.status, "total": order.total.model_dump()}


def _fail(order: "OpenOrder", number: int, booking: BeginUndo) -> None:
    """Have a fulfilment be undone by itself; when nothing else of the order is or can be sent, the order turns."""
    if not order.fulfilment(number).goes_forward:
        return
    order.change(number, ends_as=FulfilmentStatus.FAILED, failure=booking.failure)
    order.note_of(number, EventType.COMPENSATION_STARTED, booking.at, booking.detail)
    announce_next_compensation(order, number, booking.at)
    if is_lost(order):
        order.phase = Phase.UNDOING
        order.failure = first_failure(order)
        order.final_status = OrderStatus.REJECTED


def _may_turn_round(order: "OpenOrder", booking: BeginUndo) -> bool:
    if booking.even_if_shipping:
        return contradiction_to_undoing(order, booking.status) is None
    return not shipping_has_begun(order.steps)


def _turn_round(order: "OpenOrder", booking: BeginUndo) -> None:
    order.phase = Phase.UNDOING
    order.status = OrderStatus.PROCESSING
    order.failure = booking.failure
    order.final_status = booking.status
    if booking.resolved_by:
        order.note(EventType.RESOLVED, booking.at, booking.resolved_by, key="resolved/undo")
    order.note(EventType.COMPENSATION_STARTED, booking.at, booking.detail, key="compensation_started/order")
    if any(step.name is StepName.CHECK_FRAUD and step.outcome is None for step in order.steps):
        order.settle(StepName.CHECK_FRAUD, WHOLE_ORDER, ABSENT)
    for fulfilment in order.fulfilments:
        if fulfilment.status is FulfilmentStatus.UNAVAILABLE:
            order.change(fulfilment.number, status=FulfilmentStatus.CANCELLED)
        elif fulfilment.goes_forward:
            order.change(fulfilment.number, ends_as=FulfilmentStatus.CANCELLED)
            announce_next_compensation(order, fulfilment.number, booking.at)


async def _release(order: "OpenOrder", booking: FinishUndo | Resolve, number: int) -> None:
    if await order.release_stock(number):
        order.note_of(number, EventType.RESERVATION_RELEASED, booking.at, "the stock is available again")


def _skus(fulfilments: list[Fulfilment]) -> str:
    return ", ".join(sorted(line.sku for fulfilment in fulfilments for line in fulfilment.lines))


def _what_was_reserved(parcels: list[Fulfilment]) -> str:
    lines = len({line.sku for parcel in parcels for line in parcel.lines})
    what = "1 line" if lines == 1 else f"{lines} lines"
    return what if len(parcels) == 1 else f"{what}, from {len(parcels)} warehouses"
