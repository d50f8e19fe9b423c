"""The order process: reserve, approve, charge, ship - or undo what was done, in reverse."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey
from temporalio.exceptions import ApplicationError

from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.shipping import ShippingActivities
from contracts import queues
from contracts.books import Approve, BeginUndo, Booking, Park, Progress, ProviderStep, Reserve, Resolve, Retry
from contracts.operators import Decision, ResolveOrder, RetryOrder
from contracts.orders import FailureCode, Order, OrderOutcome, OrderStatus, Phase, PlaceOrder
from contracts.providers import CancelShipmentRequest, ChargeRequest, Parcel, RefundRequest, ShipRequest
from contracts.steps import StepName, StepOutcome
from workflows.calls import GaveUp, Refused, Stopped, book, call_provider
from workflows.order_turns import OperatorRequest, Undo, cancelled, not_parked, rejected, taken_up, too_late

ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")


@workflow.defn(name="Order")
class OrderWorkflow:
    """Reserves, charges and ships one order, or undoes what it did."""

    @workflow.init
    def __init__(self, placed: PlaceOrder) -> None:
        self.placed = placed
        self.order = Order.accepted(placed)
        self.decision: Decision | None = None
        self.cancel_requested = False
        self.retrying = False
        self.parked = False
        self.stops = 0
        self.operator_requests: deque[OperatorRequest] = deque()
        self.shown_status = OrderStatus.ACCEPTED

    @workflow.run
    async def run(self, placed: PlaceOrder) -> OrderOutcome:
        process = asyncio.create_task(self.follow_through())
        # A cancellation of the workflow (the Web UI's button) is a cancel request like any other: the process
        # decides, and is never torn down in the middle of a step.

        def over() -> bool:
            # A bug fails the workflow task, where it is seen, rather than leave those who asked waiting for ever.
            return process.done() and (process.exception() is not None or workflow.all_handlers_finished())

        while not over():
            try:
                await workflow.wait_condition(over)
            except asyncio.CancelledError:
                self.cancel_requested = True
        process.result()
        return OrderOutcome(status=self.order.status, failure=self.order.failure)

    async def follow_through(self) -> None:
        await self.reserve()
        while self.order.phase is Phase.FORWARD:
            try:
                await self.wait_for_approval()
                await self.charge()
                await self.ship()
            except Undo as undo:
                await self.turn_round(undo)
        if self.order.phase is Phase.UNDOING:
            await self.undo()
        self.show("")

    # The steps forward. Each announces the next one in our books, which is what registers its compensation.

    async def reserve(self) -> None:
        booking = Reserve(order=self.placed, at=workflow.now(), known=self.known)
        self.learn(await book(OrderActivities.reserve, booking, what="reserve the stock"))

    async def wait_for_approval(self) -> None:
        if self.order.status is not OrderStatus.AWAITING_APPROVAL:
            return
        self.show("Waits for an operator's approval.")
        deadline = timedelta(seconds=self.placed.rules.approval_deadline_s)
        try:
            await workflow.wait_condition(
                lambda: self.decision is not None or self.cancel_requested,
                timeout=deadline,
                timeout_summary="approval deadline",
            )
        except TimeoutError:
            raise rejected(FailureCode.APPROVAL_TIMED_OUT, f"nobody approved within {deadline}") from None
        await self.turn_round_if_cancelled()
        if self.decision is not None:
            if not self.decision.approved:
                raise rejected(FailureCode.APPROVAL_REJECTED, f"rejected by {self.decision.said}")
            booking = Approve(**self.booking(), approved_by=self.decision.said)
            self.learn(await book(OrderActivities.approve, booking, what="record the approval"))

    async def charge(self) -> None:
        await self.insist(
            StepName.CHARGE,
            self.settle_charge,
            left=f"charge {self.order.total}, then ship the order",
            failure=FailureCode.PAYMENT_DECLINED,
        )

    async def ship(self) -> None:
        await self.insist(
            StepName.SHIP,
            self.settle_shipment,
            left="hand the order to the carrier",
            failure=FailureCode.SHIPPING_FAILED,
        )

    async def insist(
        self, name: StepName, settle: Callable[[], Awaitable[None]], *, left: str, failure: FailureCode
    ) -> None:
        """Go on with a step until it is done or refused, over any number of operators' retries."""
        while self.order.phase is Phase.FORWARD and not self.settled(name):
            self.forget_a_late_cancel()
            await self.turn_round_if_cancelled()
            try:
                await settle()
            except (Refused, Stopped):
                continue
            except GaveUp as trouble:
                self.forget_a_late_cancel()
                await self.park(name, f"left to do: {left} ({trouble})")
        step = self.order.step(name)
        if self.order.phase is Phase.FORWARD and step is not None and step.outcome is StepOutcome.REFUSED:
            raise rejected(failure, step.message or "refused")

    def forget_a_late_cancel(self) -> None:
        """Once shipping has begun only a cancel that comes while the order is parked counts."""
        if self.order.shipping_has_begun:
            self.cancel_requested = False

    async def turn_round_if_cancelled(self) -> None:
        if self.cancel_requested:
            await taken_up()
            raise cancelled()

    # The way back, in reverse.

    async def turn_round(self, undo: Undo) -> None:
        """Ask our books to turn the order round. They refuse a cancel that comes too late, and the order goes on."""
        booking = BeginUndo(
            **self.booking(),
            status=undo.status,
            failure=undo.failure,
            detail=undo.detail,
            resolved_by=undo.resolved_by,
            even_if_shipping=self.parked or undo.status is OrderStatus.REJECTED,
        )
        self.learn(await book(OrderActivities.begin_undo, booking, what="begin to undo"))
        self.parked = False
        self.refuse_waiting_operators()

    async def undo(self) -> None:
        """Undo what our books say was done or may have been, last things first."""
        await self.insist_undoing(
            StepName.SHIP, self.settle_shipment, left="find out whether the carrier has the order"
        )
        if self.outcome(StepName.SHIP) is StepOutcome.SUCCEEDED:
            await self.insist_undoing(StepName.CANCEL_SHIPMENT, self.cancel_shipment, left="cancel the shipment")
        await self.insist_undoing(StepName.CHARGE, self.settle_charge, left="find out whether the card was charged")
        if self.outcome(StepName.CHARGE) is StepOutcome.SUCCEEDED:
            await self.insist_undoing(StepName.REFUND, self.refund, left=f"refund {self.order.total}")
        if self.order.phase is Phase.UNDOING:
            booking = Booking(**self.booking())
            self.learn(await book(OrderActivities.finish_undo, booking, what="release the stock"))

    async def insist_undoing(self, name: StepName, settle: Callable[[], Awaitable[None]], *, left: str) -> None:
        while self.order.phase is Phase.UNDOING and self.order.step(name) is not None and not self.settled(name):
            try:
                await settle()
            except (Refused, GaveUp) as trouble:
                if not self.settled(name):
                    await self.park(name, f"left to undo: {left} ({trouble})")

    # Provider calls, made from what our books announced.

    async def settle_charge(self) -> None:
        await self.call(
            PaymentActivities.charge,
            StepName.CHARGE,
            ChargeRequest(order_id=self.order.id, amount=self.order.total, payment_method=self.placed.payment_method),
            task_queue=queues.PAYMENTS,
            what=f"charge {self.order.total}",
        )

    async def refund(self) -> None:
        await self.call(
            PaymentActivities.refund,
            StepName.REFUND,
            RefundRequest(order_id=self.order.id, charge_id=self.reference(StepName.CHARGE), amount=self.order.total),
            task_queue=queues.PAYMENTS,
            what=f"refund {self.order.total}",
        )

    async def settle_shipment(self) -> None:
        await self.call(
            ShippingActivities.ship,
            StepName.SHIP,
            ShipRequest(
                order_id=self.order.id,
                fulfilment_id=f"{self.order.id}-1",
                ship_to=self.placed.ship_to,
                parcels=tuple(Parcel(sku=line.sku, quantity=line.quantity) for line in self.order.lines),
            ),
            task_queue=queues.CARRIER,
            what=f"ship {len(self.order.lines)} lines",
        )

    async def cancel_shipment(self) -> None:
        await self.call(
            ShippingActivities.cancel_shipment,
            StepName.CANCEL_SHIPMENT,
            CancelShipmentRequest(order_id=self.order.id, shipment_id=self.reference(StepName.SHIP)),
            task_queue=queues.CARRIER,
            what="cancel the shipment",
        )

    async def call(
        self,
        activity: Callable[[Any, ProviderStep[Any]], Awaitable[Progress]],
        name: StepName,
        request: ChargeRequest | RefundRequest | ShipRequest | CancelShipmentRequest,
        *,
        task_queue: str,
        what: str,
    ) -> None:
        step = self.order.step(name)
        assert step is not None

        def on_trouble() -> None:
            self.retrying = True
            self.show(f"Not done at once: {what}. See the pending activity for attempts and the last error.")

        try:
            progress = await call_provider(
                activity,
                ProviderStep(**self.booking(), step=step, call=request),
                task_queue=task_queue,
                window=timedelta(seconds=self.placed.rules.retry_window_s),
                what=what,
                on_trouble=on_trouble,
                stop=lambda: self.cancel_requested and self.can_be_cancelled and self.order.phase is Phase.FORWARD,
            )
        except Refused as refused:
            self.learn(refused.progress)
            raise
        finally:
            self.retrying = False
        self.learn(progress)

    # Parked, an order waits for an operator.

    async def park(self, name: StepName, left: str) -> None:
        """Wait until an operator has the order go on. Raises Undo when it is to be undone instead."""
        self.stops += 1
        booking = Park(**self.booking(), key=f"needs_attention/{self.stops}", step=name, left=left)
        self.learn(await book(OrderActivities.park, booking, what="park the order"))
        if self.order.status is not OrderStatus.NEEDS_ATTENTION:
            # Our books are ahead: an answer came after all, or a task that was lost with its worker had gone on.
            return
        self.parked = True
        self.show(f"**Needs attention**, {left}.")
        while self.parked:
            await workflow.wait_condition(
                lambda: bool(self.operator_requests) or (self.cancel_requested and self.order.phase is Phase.FORWARD)
            )
            await taken_up()
            if not self.operator_requests:
                raise cancelled()
            await self.take_up(self.operator_requests.popleft())
        self.show("")
        self.refuse_waiting_operators()

    def refuse_waiting_operators(self) -> None:
        """Answer those whose request came while another one had the order go on."""
        while self.operator_requests:
            self.operator_requests.popleft().answer.set_exception(not_parked())

    async def take_up(self, operator: OperatorRequest) -> None:
        request = operator.request
        if isinstance(request, RetryOrder):
            retry = Retry(**self.booking(), key=f"retried/{self.stops}", retried_by=request.said)
            self.learn(await book(OrderActivities.retry, retry, what="take the order back"))
        elif self.order.phase is Phase.FORWARD and request.status in (OrderStatus.CANCELLED, OrderStatus.REJECTED):
            operator.answer.set_result(None)
            raise Undo(request.status, None, f"resolved as {request.status}", resolved_by=request.said)
        else:
            resolve = Resolve(**self.booking(), status=request.status, resolved_by=request.said)
            try:
                self.learn(await book(OrderActivities.resolve, resolve, what="close the order by hand"))
            except ApplicationError as contradiction:
                operator.answer.set_exception(contradiction)
                return
        self.parked = False
        operator.answer.set_result(None)

    # What clients and operators say. Handlers only leave word; the process above acts on it, one thing at a time.

    @workflow.signal
    def decide(self, decision: Decision) -> None:
        """Approve or reject. The first decision counts; it may come before the order waits for it."""
        self.decision = self.decision or decision

    @workflow.update
    async def cancel(self) -> Order:
        """Undo the order. Raises too_late once the carrier may have heard of it."""
        self.cancel_requested = True
        await workflow.wait_condition(lambda: self.is_undone_or_waits or not self.can_be_cancelled)
        if not self.can_be_cancelled:
            raise too_late()
        return self.order

    @cancel.validator
    def cancel_while_possible(self) -> None:
        if not self.can_be_cancelled:
            raise too_late()

    @workflow.update
    async def retry(self, request: RetryOrder) -> Order:
        """Have a parked order go on. Raises not_parked for any other."""
        await self.leave_word(request)
        return self.order

    @retry.validator
    def retry_when_parked(self, request: RetryOrder) -> None:
        if not self.parked:
            raise not_parked()

    @workflow.update
    async def resolve(self, request: ResolveOrder) -> Order:
        """Close a parked order by hand. Raises not_parked for any other, books_contradict if they do."""
        await self.leave_word(request)
        await workflow.wait_condition(lambda: self.is_undone_or_waits)
        return self.order

    @resolve.validator
    def resolve_when_parked(self, request: ResolveOrder) -> None:
        if not self.parked:
            raise not_parked()

    async def leave_word(self, request: RetryOrder | ResolveOrder) -> None:
        operator = OperatorRequest(request)
        self.operator_requests.append(operator)
        await operator.answer

    @workflow.query
    def view(self) -> Order:
        return self.order

    @property
    def can_be_cancelled(self) -> bool:
        """False once shipping has begun, but for an order that stands still before an operator."""
        match self.order.phase:
            case Phase.FORWARD:
                return self.parked or not self.order.shipping_has_begun
            case Phase.UNDOING:
                return True
            case Phase.CLOSED:
                return self.order.status in (OrderStatus.CANCELLED, OrderStatus.REJECTED)

    @property
    def is_undone_or_waits(self) -> bool:
        """Whether an undo is over, or will take longer than a client would wait."""
        undoing_slowly = self.order.phase is Phase.UNDOING and (self.parked or self.retrying)
        return self.order.phase is Phase.CLOSED or undoing_slowly

    # State.

    @property
    def known(self) -> int:
        return self.order.timeline[-1].sequence

    def booking(self) -> dict[str, Any]:
        return {"order_id": self.order.id, "at": workflow.now(), "known": self.known}

    def learn(self, progress: Progress) -> None:
        self.order = progress.applied_to(self.order)

    def outcome(self, name: StepName) -> StepOutcome | None:
        step = self.order.step(name)
        return step.outcome if step else None

    def settled(self, name: StepName) -> bool:
        return self.outcome(name) is not None

    def reference(self, name: StepName) -> str:
        step = self.order.step(name)
        assert step is not None and step.reference is not None  # noqa: PT018
        return step.reference

    def show(self, details: str) -> None:
        """Put the status where operators look: the Web UI's current details and the search attribute."""
        workflow.set_current_details(details)
        if self.order.status is not self.shown_status:
            self.shown_status = self.order.status
            workflow.upsert_search_attributes([ORDER_STATUS.value_set(self.order.status)])
