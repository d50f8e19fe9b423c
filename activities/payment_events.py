"""What follows from the payment provider's events: an unknown charge is settled, a dispute is shown to people."""

from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from activities.charge_booking import book_charge
from contracts.attention import AttentionItem, AttentionKind
from contracts.ids import order_workflow_id
from contracts.inbound import InboundEvent, Processing
from contracts.operators import RetryOrder
from contracts.orders import OrderStatus, Phase
from contracts.steps import Step, StepName, StepOutcome, find_step, succeeded
from database.attention import AttentionRepository
from database.books import Books, OrderNotFound
from database.open_order import OpenOrder
from providers.payment_events import ChargeDisputed, ChargeSucceeded, read_event

UPDATE_WITHIN = timedelta(seconds=1)

log = structlog.get_logger()


class NobodyToWake(Exception):
    """The order is parked in our books, and its workflow is over: somebody ended it by hand."""


class PaymentEvents:
    """Processes payment events. Whatever they change is changed once, however often and in whatever order they come."""

    def __init__(self, books: Books, attention: AttentionRepository, temporal: Client) -> None:
        self._books = books
        self._attention = attention
        self._temporal = temporal

    async def process(self, event: InboundEvent) -> Processing:
        """Do what follows from an event, or raise to have it tried again."""
        try:
            news = read_event(event.type, event.body)
        except ValueError as error:
            # It will be no more readable the next time, and it is kept.
            log.error("payment event not understood", type=event.type, error=type(error).__name__)
            return Processing.UNKNOWN
        match news:
            case ChargeSucceeded():
                await self._charge_succeeded(news)
            case ChargeDisputed():
                await self._disputed(news)
            case None:
                return Processing.UNKNOWN
        return Processing.DONE

    async def _charge_succeeded(self, charge: ChargeSucceeded) -> None:
        """Settle a charge that is unknown. The call under way then finds it settled, and its workflow goes on."""
        try:
            while not await self._booked(charge):
                await self._wake(charge)
        except OrderNotFound:
            log.warning("a charge for an order that is not ours", order_id=charge.order_id)
        except NobodyToWake:
            await self._report(charge, "its workflow is over")

    async def _booked(self, charge: ChargeSucceeded) -> bool:
        """Book the charge where our books wait for it. False while its order is parked.

        A parked order goes on first, or its workflow and our books would part. Raises OrderNotFound.
        """
        async with self._books.order(charge.order_id) as order:
            step = find_step(order.steps, StepName.CHARGE, charge.fulfilment)
            contradiction = _contradiction(order, step, charge)
            if contradiction is None and step is not None and step.outcome is None:
                if order.status is OrderStatus.NEEDS_ATTENTION:
                    return False
                # The workflow's own clock is out of reach; this one never goes back behind what it has booked.
                at = max(datetime.now(UTC), order.updated_at)
                book_charge(order, charge.fulfilment, charge.amount, succeeded(charge.charge_id), at)
        if contradiction is not None:
            await self._report(charge, contradiction)
        return True

    async def _wake(self, charge: ChargeSucceeded) -> None:
        """Have a parked order go on, as an operator would who has seen the charge at the provider."""
        word = RetryOrder(operator="the payment provider", note=f"{charge.charge_id} has succeeded")
        handle = self._temporal.get_workflow_handle(order_workflow_id(charge.order_id))
        try:
            await handle.execute_update("retry", word, rpc_timeout=UPDATE_WITHIN)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                raise NobodyToWake from error
            raise

    async def _disputed(self, dispute: ChargeDisputed) -> None:
        order_id = await self._books.order_charged_as(dispute.charge_id) if dispute.charge_id else None
        await self._open(
            AttentionItem(
                kind=AttentionKind.DISPUTE, source=dispute.dispute_id, order_id=order_id, detail=dispute.detail
            )
        )

    async def _report(self, charge: ChargeSucceeded, contradiction: str) -> None:
        await self._open(
            AttentionItem(
                kind=AttentionKind.UNEXPECTED_CHARGE,
                source=charge.charge_id,
                order_id=charge.order_id,
                detail=f"{charge.charge_id} took {charge.amount}, but {contradiction}",
            )
        )

    async def _open(self, item: AttentionItem) -> None:
        if await self._attention.open(item):
            log.warning("attention needed", kind=item.kind, order_id=item.order_id, detail=item.detail)


def _contradiction(order: OpenOrder, step: Step | None, charge: ChargeSucceeded) -> str | None:
    """Why our books cannot take this charge for the order's; None when they wait for it or have it."""
    if step is None:
        return "our books never announced a charge"
    if step.outcome is StepOutcome.SUCCEEDED:
        return None if step.reference == charge.charge_id else f"the order is paid by {step.reference}"
    if step.outcome is not None:
        return f"our books have the charge as {step.outcome}"
    if order.phase is Phase.CLOSED:
        return f"the order was closed as {order.status}"
    amount = order.fulfilment(charge.fulfilment).amount
    return None if charge.amount == amount else f"{amount} was to be charged"
