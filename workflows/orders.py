"""The order process: reserve, ask who has to be asked, charge and ship - or undo what was done, in reverse."""

import asyncio
from collections import deque
from datetime import timedelta

from temporalio import workflow
from temporalio.exceptions import ApplicationError

from activities.fraud import FraudActivities
from activities.orders import OrderActivities
from contracts import queues
from contracts.audit import Act, AuditAction, Deed
from contracts.books import Amend, Approve, BeginUndo, ChangeAddress, Park, Reserve, Resolve, Retry
from contracts.customers import CustomerAction
from contracts.failures import FailureCode
from contracts.fulfilments import FulfilmentStatus
from contracts.operators import Decision, ResolveOrder, RetryOrder
from contracts.orders import Address, Order, OrderOutcome, OrderStatus, Phase, PlaceOrder
from contracts.providers import FraudCheck
from contracts.resolutions import contradiction_to_undoing
from contracts.steps import WHOLE_ORDER, StepName, StepOutcome
from workflows.calls import GaveUp, Refused, Stopped
from workflows.fulfilments import FulfilmentProcess, Stuck
from workflows.order_file import OrderFile
from workflows.order_turns import (
    OperatorRequest,
    Undo,
    books_contradict,
    cancelled,
    no_action_required,
    not_parked,
    rejected,
    taken_up,
    timed_out,
    too_late,
)


@workflow.defn(name="Order")
class OrderWorkflow:
    """Reserves, charges and ships one order, or undoes what it did."""

    @workflow.init
    def __init__(self, placed: PlaceOrder) -> None:
        self.placed = placed
        self.file = OrderFile(placed)
        self.decision: Decision | None = None
        self.customer_action: CustomerAction | None = None
        # Operators who asked for these in the customer's place.
        self.acted_by: Act | None = None
        self.cancelled_by: Act | None = None
        self.cancel_requested = False
        self.late_cancel = False
        self.parked = False
        self.stops = 0
        self.operator_requests: deque[OperatorRequest] = deque()

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
                self.request_cancel(None)
        process.result()
        return OrderOutcome(status=self.order.status, failure=self.order.failure)

    async def follow_through(self) -> None:
        await self.reserve()
        while self.order.phase is Phase.FORWARD:
            try:
                await self.wait_for_customer()
                await self.wait_for_approval()
                await self.check_fraud()
                await self.fulfil()
            except Undo as undo:
                await self.turn_round(undo)
        while self.order.phase is Phase.UNDOING:
            await self.follow_fulfilments()
        # An operator may have closed the order as sent.
        for fulfilment in self.order.fulfilments:
            if fulfilment.status is FulfilmentStatus.SHIPPED:
                await self.file.follow_shipment(fulfilment.number)
        self.file.show("")

    # The steps forward. Each announces the next one in our books, which is what registers its compensation.

    async def reserve(self) -> None:
        booking = Reserve(order=self.placed, at=workflow.now(), known=self.file.known)
        await self.file.book(OrderActivities.reserve, booking, what="reserve the stock")

    async def wait_for_customer(self) -> None:
        if self.order.status is not OrderStatus.AWAITING_CUSTOMER:
            return
        self.file.show("Waits for the customer: a part of the order is not available.")
        deadline = timedelta(seconds=self.placed.rules.customer_deadline_s)
        try:
            await workflow.wait_condition(
                lambda: self.customer_action is not None or self.cancel_requested,
                timeout=deadline,
                timeout_summary="customer's deadline",
            )
        except TimeoutError:
            raise timed_out(f"the customer did not answer within {deadline}") from None
        await taken_up()
        if self.cancel_requested:
            raise cancelled(self.cancelled_by)
        if self.customer_action is CustomerAction.CANCEL:
            raise cancelled(self.acted_by)
        booking = Amend(**self.file.booking(), rules=self.placed.rules, act=self.acted_by)
        await self.file.book(OrderActivities.amend, booking, what="take off what is not available")
        self.file.show_total()

    async def wait_for_approval(self) -> None:
        if self.order.status is not OrderStatus.AWAITING_APPROVAL:
            return
        self.file.show("Waits for an operator's approval.")
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
                why = f"rejected by {self.decision.said}"
                raise rejected(FailureCode.APPROVAL_REJECTED, why, self.decision.act)
            booking = Approve(**self.file.booking(), approved_by=self.decision.said, act=self.decision.act)
            await self.file.book(OrderActivities.approve, booking, what="record the approval")

    async def check_fraud(self) -> None:
        """Have an order checked that our books want checked, however long that takes."""
        while self.order.phase is Phase.FORWARD and self.file.is_unsettled(StepName.CHECK_FRAUD, WHOLE_ORDER):
            await self.turn_round_if_cancelled()
            try:
                await self.file.call(
                    FraudActivities.check_fraud,
                    StepName.CHECK_FRAUD,
                    FraudCheck(order_id=self.order.id, fulfilment=WHOLE_ORDER),
                    task_queue=queues.ORDERS,
                    # While checks are suspended orders wait, for as long as it takes.
                    window=None,
                    what="check for fraud",
                    stop=self.is_to_be_cancelled,
                )
            except (Refused, Stopped):
                continue
            except GaveUp as trouble:
                left = f"left to do: check for fraud, then charge {self.order.total} and ship the order ({trouble})"
                await self.park(Stuck(StepName.CHECK_FRAUD, WHOLE_ORDER, left))
        check = self.order.step(StepName.CHECK_FRAUD)
        if self.order.phase is Phase.FORWARD and check is not None and check.outcome is StepOutcome.REFUSED:
            raise rejected(FailureCode.FRAUD_SUSPECTED, check.message or "refused")

    async def fulfil(self) -> None:
        """Charge and ship everything, over any number of operators' retries."""
        while self.order.phase is Phase.FORWARD:
            self.forget_a_late_cancel()
            await self.turn_round_if_cancelled()
            await self.follow_fulfilments()

    async def follow_fulfilments(self) -> None:
        """Have all fulfilments go on side by side, and the order park when they stand still before an operator."""
        processes = [
            FulfilmentProcess(self.file, fulfilment.number, stop=self.is_to_be_cancelled)
            for fulfilment in self.order.fulfilments
            if fulfilment.status.is_open or fulfilment.status is FulfilmentStatus.SHIPPED
        ]
        stuck = [found for found in await asyncio.gather(*(process.run() for process in processes)) if found]
        self.forget_a_late_cancel()
        if stuck and not self.is_to_be_cancelled():
            await self.park(*stuck)

    def forget_a_late_cancel(self) -> None:
        """Once shipping has begun only a cancel that comes while the order is parked counts."""
        self.late_cancel = self.cancel_requested and self.order.shipping_has_begun
        if self.late_cancel:
            self.cancel_requested = False

    def request_cancel(self, by: Act | None) -> None:
        """The first request counts, until it is forgotten."""
        if not self.cancel_requested:
            self.cancelled_by = by
        self.cancel_requested = True

    def is_to_be_cancelled(self) -> bool:
        return self.cancel_requested and self.can_be_cancelled and self.order.phase is Phase.FORWARD

    async def turn_round_if_cancelled(self) -> None:
        if self.cancel_requested:
            await taken_up()
            raise cancelled(self.cancelled_by)

    async def turn_round(self, undo: Undo) -> None:
        """Ask our books to turn the order round. They refuse a cancel that comes too late, and the order goes on."""
        booking = BeginUndo(
            **self.file.booking(),
            status=undo.status,
            failure=undo.failure,
            detail=undo.detail,
            resolved_by=undo.resolved_by,
            even_if_shipping=self.parked or undo.status is OrderStatus.REJECTED,
            deed=undo.deed,
        )
        await self.file.book(OrderActivities.begin_undo, booking, what="begin to undo")
        self.parked = False
        workflow.set_current_details("")
        self.refuse_waiting_operators()

    # Parked, an order waits for an operator.

    async def park(self, *stuck: Stuck) -> None:
        """Wait until an operator has the order go on. Raises Undo when it is to be undone instead."""
        self.stops += 1
        left = "; ".join(one.left for one in stuck)
        booking = Park(
            **self.file.booking(),
            key=f"needs_attention/{self.stops}",
            step=stuck[0].step,
            fulfilment=stuck[0].fulfilment,
            left=left,
        )
        # Already now: who reads in our books that the order is parked may act before the workflow knows it.
        self.parked = True
        await self.file.book(OrderActivities.park, booking, what="park the order")
        if self.order.status is not OrderStatus.NEEDS_ATTENTION:
            # Our books are ahead: an answer came after all, or a task that was lost with its worker had gone on.
            self.parked = False
            self.refuse_waiting_operators()
            return
        was_parked_before = self.order.timeline[-1].at < booking.at
        if self.late_cancel and was_parked_before and workflow.patched("cancel-of-an-order-that-was-parked"):
            # By a workflow task that was lost with its worker. Who asked since then saw the order parked.
            self.cancel_requested = True
        self.file.show(f"**Needs attention**, {left}.")
        while self.parked:
            await workflow.wait_condition(lambda: bool(self.operator_requests) or self.is_to_be_cancelled())
            await taken_up()
            if not self.operator_requests:
                raise cancelled(self.cancelled_by)
            await self.take_up(self.operator_requests.popleft())
        self.file.show("")
        self.refuse_waiting_operators()

    def refuse_waiting_operators(self) -> None:
        """Answer those whose request came while another one had the order go on."""
        while self.operator_requests:
            self.operator_requests.popleft().answer.set_exception(not_parked())

    async def take_up(self, operator: OperatorRequest) -> None:
        request = operator.request
        if isinstance(request, RetryOrder):
            retry = Retry(**self.file.booking(), key=f"retried/{self.stops}", retried_by=request.said, act=request.act)
            await self.file.book(OrderActivities.retry, retry, what="take the order back")
        elif self.has_open_ends and request.status is not OrderStatus.COMPLETED:
            if contradiction := contradiction_to_undoing(self.order, request.status):
                operator.answer.set_exception(books_contradict(contradiction))
                return
            operator.answer.set_result(None)
            deed = Deed(action=AuditAction.ORDER_RESOLVE, act=request.act)
            raise Undo(request.status, None, f"resolved as {request.status}", resolved_by=request.said, deed=deed)
        else:
            resolve = Resolve(**self.file.booking(), status=request.status, resolved_by=request.said, act=request.act)
            try:
                await self.file.book(OrderActivities.resolve, resolve, what="close the order by hand")
            except ApplicationError as contradiction:
                operator.answer.set_exception(contradiction)
                return
        self.parked = False
        operator.answer.set_result(None)

    # What clients and operators say. Handlers only leave word; the process above acts on it, one thing at a time.
    # `act` is an operator's who asks in the customer's place; what histories of earlier versions hold has none.

    @workflow.signal
    def decide(self, decision: Decision) -> None:
        """Approve or reject. The first decision counts; it may come before the order waits for it."""
        self.decision = self.decision or decision

    @workflow.update
    async def cancel(self, act: Act | None = None) -> Order:
        """Undo the order. Raises too_late once the carrier may have heard of it."""
        self.request_cancel(act)
        await workflow.wait_condition(lambda: self.is_undone_or_waits or not self.can_be_cancelled)
        if not self.can_be_cancelled:
            raise too_late()
        return self.order

    @cancel.validator
    def cancel_while_possible(self, act: Act | None = None) -> None:
        if not self.can_be_cancelled:
            raise too_late()

    @workflow.update
    async def act_for_customer(self, action: CustomerAction, act: Act | None = None) -> Order:
        """Amend or cancel an order of which a part is not available. Raises no_action_required for any other."""
        await self.reserved()
        if not self.asks_customer:
            raise no_action_required()
        # With fewer arguments than it declares, the SDK knows no types.
        self.customer_action = CustomerAction(action)
        self.acted_by = act
        await workflow.wait_condition(
            lambda: (
                self.is_undone_or_waits
                or (self.order.phase is Phase.FORWARD and self.order.status is not OrderStatus.AWAITING_CUSTOMER)
            )
        )
        return self.order

    @act_for_customer.validator
    def act_when_asked(self, action: CustomerAction, act: Act | None = None) -> None:
        if not self.asks_customer and self.order.status is not OrderStatus.ACCEPTED:
            raise no_action_required()

    @workflow.update
    async def change_address(self, ship_to: Address, act: Act | None = None) -> Order:
        """Have the order sent elsewhere. Raises too_late once the carrier may have heard of it."""
        await self.reserved()
        await taken_up()
        update = workflow.current_update_info()
        assert update is not None
        # With fewer arguments than it declares, the SDK knows no types.
        address = Address.model_validate(ship_to)
        booking = ChangeAddress(**self.file.booking(), key=f"address_changed/{update.id}", ship_to=address, act=act)
        await self.file.book(OrderActivities.change_address, booking, what="change the address")
        return self.order

    @change_address.validator
    def change_address_while_possible(self, ship_to: Address, act: Act | None = None) -> None:
        if self.order.phase is not Phase.FORWARD or self.order.shipping_has_begun:
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

    async def reserved(self) -> None:
        """Wait until the workflow knows of the reservation: who reads our books may have known it before."""
        await workflow.wait_condition(lambda: self.order.status is not OrderStatus.ACCEPTED)

    @workflow.query
    def view(self) -> Order:
        return self.order

    @property
    def order(self) -> Order:
        return self.file.order

    @property
    def asks_customer(self) -> bool:
        """Whether the customer is to say what to do, and has not."""
        asked = self.order.status is OrderStatus.AWAITING_CUSTOMER
        return asked and self.customer_action is None and not self.cancel_requested

    @property
    def has_open_ends(self) -> bool:
        """Whether something is still to be sent, and so has to be undone before the order can be closed."""
        return self.order.phase is Phase.FORWARD and any(one.goes_forward for one in self.order.fulfilments)

    @property
    def can_be_cancelled(self) -> bool:
        """False once something was shipped, or may be with the carrier and the order does not stand still."""
        match self.order.phase:
            case Phase.FORWARD:
                return not self.order.has_shipped and (self.parked or not self.order.shipping_has_begun)
            case Phase.UNDOING:
                return not self.order.has_shipped
            case Phase.CLOSED:
                return self.order.status in (OrderStatus.CANCELLED, OrderStatus.REJECTED)

    @property
    def is_undone_or_waits(self) -> bool:
        """Whether an undo is over, or will take longer than a client would wait."""
        undoing_slowly = self.order.phase is Phase.UNDOING and (self.parked or self.file.retrying > 0)
        return self.order.phase is Phase.CLOSED or undoing_slowly
