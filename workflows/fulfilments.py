"""What is done for one fulfilment of an order: charge and ship it - or undo what was done, in reverse."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from activities.orders import OrderActivities
from activities.payments import PaymentActivities
from activities.shipping import ShippingActivities
from contracts import queues
from contracts.books import BeginUndo, FinishUndo
from contracts.failures import Failure, FailureCode
from contracts.fulfilments import Fulfilment, FulfilmentStatus
from contracts.orders import OrderStatus
from contracts.providers import CancelShipmentRequest, ChargeRequest, Parcel, RefundRequest, ShipRequest
from contracts.steps import StepName, StepOutcome, outcome_of
from workflows.calls import GaveUp, Refused, Stopped
from workflows.order_file import OrderFile


@dataclass(frozen=True)
class Stuck:
    """A call that could not be settled in the time that retries have, and what is left to do, in words."""

    step: StepName
    fulfilment: int
    left: str


class NeedsOperator(Exception):
    def __init__(self, stuck: Stuck) -> None:
        super().__init__(stuck.left)
        self.stuck = stuck


class FulfilmentProcess:
    """Follows one fulfilment through. It goes by what our books say, and can be left and taken up again anywhere."""

    def __init__(self, file: OrderFile, number: int, *, stop: Callable[[], bool]) -> None:
        """`stop` tells that the order is about to turn round: what takes long is left then."""
        self.file = file
        self.number = number
        self.stop = stop

    async def run(self) -> Stuck | None:
        """Go on until nothing is left to do or to undo, or `stop`. Returns what only an operator can get on with."""
        try:
            if self.fulfilment.goes_forward:
                await self.charge()
                await self.ship()
            if self.fulfilment.status is FulfilmentStatus.SHIPPED:
                await self.file.follow_shipment(self.number)
            if self.fulfilment.is_being_undone:
                await self.undo()
        except NeedsOperator as trouble:
            return trouble.stuck
        except Stopped:
            pass
        return None

    # Forward. Each step announces the next one in our books, which is what registers its compensation.

    async def charge(self) -> None:
        await self.go_forward(
            StepName.CHARGE,
            self.settle_charge,
            left=f"charge {self.fulfilment.amount}, then ship {self.name}",
            failure=FailureCode.PAYMENT_DECLINED,
        )

    async def ship(self) -> None:
        await self.go_forward(
            StepName.SHIP,
            self.settle_shipment,
            left=f"hand {self.name} to the carrier",
            failure=FailureCode.SHIPPING_FAILED,
        )

    async def go_forward(
        self, name: StepName, settle: Callable[[], Awaitable[None]], *, left: str, failure: FailureCode
    ) -> None:
        """Make a call until it is done or refused. What is refused is booked, and turns the fulfilment round."""
        while self.fulfilment.goes_forward and self.file.is_unsettled(name, self.number):
            if self.stop():
                raise Stopped
            try:
                await settle()
            except Refused:
                continue
            except GaveUp as trouble:
                raise self.needs_operator(name, f"left to do: {left} ({trouble})") from trouble
        step = self.file.order.step(name, self.number)
        if self.fulfilment.goes_forward and step is not None and step.outcome is StepOutcome.REFUSED:
            await self.fail(Failure(code=failure, message=step.message or "refused"))

    async def fail(self, failure: Failure) -> None:
        booking = BeginUndo(
            **self.file.booking(),
            fulfilment=self.number,
            status=OrderStatus.REJECTED,
            failure=failure,
            detail=failure.message,
            even_if_shipping=True,
        )
        await self.file.book(OrderActivities.begin_undo, booking, what="begin to undo")

    # Back, in reverse: what our books say was done or may have been, last things first.

    async def undo(self) -> None:
        await self.go_back(StepName.SHIP, self.settle_shipment, left=f"find out whether the carrier has {self.name}")
        if self.outcome(StepName.SHIP) is StepOutcome.SUCCEEDED:
            await self.go_back(StepName.CANCEL_SHIPMENT, self.cancel_shipment, left="cancel the shipment")
        await self.go_back(StepName.CHARGE, self.settle_charge, left="find out whether the card was charged")
        if self.outcome(StepName.CHARGE) is StepOutcome.SUCCEEDED:
            await self.go_back(StepName.REFUND, self.refund, left=f"refund {self.fulfilment.amount}")
        if self.fulfilment.is_being_undone:
            booking = FinishUndo(**self.file.booking(), fulfilment=self.number)
            await self.file.book(OrderActivities.finish_undo, booking, what="release the stock")

    async def go_back(self, name: StepName, settle: Callable[[], Awaitable[None]], *, left: str) -> None:
        while self.fulfilment.is_being_undone and self.file.is_unsettled(name, self.number):
            if self.stop():
                raise Stopped
            try:
                await settle()
            except (Refused, GaveUp) as trouble:
                if self.file.is_unsettled(name, self.number):
                    raise self.needs_operator(name, f"left to undo: {left} ({trouble})") from trouble

    # Provider calls, made from what our books announced.

    async def settle_charge(self) -> None:
        await self.file.call(
            PaymentActivities.charge,
            StepName.CHARGE,
            ChargeRequest(
                order_id=self.file.order.id,
                fulfilment=self.number,
                amount=self.fulfilment.amount,
                payment_method=self.file.placed.payment_method,
            ),
            task_queue=queues.PAYMENTS,
            window=self.file.retry_window,
            what=f"charge {self.fulfilment.amount}",
            stop=self.stop,
        )

    async def refund(self) -> None:
        await self.file.call(
            PaymentActivities.refund,
            StepName.REFUND,
            RefundRequest(
                order_id=self.file.order.id,
                fulfilment=self.number,
                charge_id=self.reference(StepName.CHARGE),
                amount=self.fulfilment.amount,
            ),
            task_queue=queues.PAYMENTS,
            window=self.file.retry_window,
            what=f"refund {self.fulfilment.amount}",
            stop=self.stop,
        )

    async def settle_shipment(self) -> None:
        ship_to = self.file.order.ship_to
        assert ship_to is not None
        await self.file.call(
            ShippingActivities.ship,
            StepName.SHIP,
            ShipRequest(
                order_id=self.file.order.id,
                fulfilment=self.number,
                ship_to=ship_to,
                parcels=tuple(Parcel(sku=line.sku, quantity=line.quantity) for line in self.fulfilment.lines),
            ),
            task_queue=queues.CARRIER,
            window=self.file.retry_window,
            what=f"ship {len(self.fulfilment.lines)} lines",
            stop=self.stop,
        )

    async def cancel_shipment(self) -> None:
        await self.file.call(
            ShippingActivities.cancel_shipment,
            StepName.CANCEL_SHIPMENT,
            CancelShipmentRequest(
                order_id=self.file.order.id, fulfilment=self.number, shipment_id=self.reference(StepName.SHIP)
            ),
            task_queue=queues.CARRIER,
            window=self.file.retry_window,
            what="cancel the shipment",
            stop=self.stop,
        )

    # State.

    @property
    def fulfilment(self) -> Fulfilment:
        return self.file.order.fulfilment(self.number)

    @property
    def name(self) -> str:
        return "the order" if len(self.file.order.fulfilments) == 1 else f"fulfilment {self.number}"

    def outcome(self, name: StepName) -> StepOutcome | None:
        return outcome_of(self.file.order.steps, name, self.number)

    def reference(self, name: StepName) -> str:
        step = self.file.order.step(name, self.number)
        assert step is not None and step.reference is not None  # noqa: PT018
        return step.reference

    def needs_operator(self, name: StepName, left: str) -> NeedsOperator:
        return NeedsOperator(Stuck(name, self.number, left))
