"""What an order's workflow knows of its order, and how it writes to our books."""

from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from typing import Any

from temporalio import workflow
from temporalio.common import SearchAttributeKey, WorkflowIDReusePolicy
from temporalio.exceptions import WorkflowAlreadyStartedError
from temporalio.workflow import ParentClosePolicy

from contracts import queues
from contracts.books import Booking, Progress, ProviderStep, Reserve
from contracts.ids import fulfilment_id, shipment_workflow_id
from contracts.orders import Order, OrderStatus, PlaceOrder
from contracts.providers import ProviderRequest
from contracts.shipments import FollowShipment, ShipmentRules
from contracts.steps import StepName
from workflows.calls import Refused, book, call_provider
from workflows.shipments import ShipmentWorkflow

ORDER_STATUS = SearchAttributeKey.for_keyword("OrderStatus")
ORDER_TOTAL = SearchAttributeKey.for_int("OrderTotal")
# After a kill of the worker its tasks go to the next one this soon.
TASK_TIMEOUT = timedelta(seconds=2)


class OrderFile:
    """The order as our books have it, as far as the workflow has heard.

    `retrying` counts the provider calls that were not done at once and are not done yet.
    """

    def __init__(self, placed: PlaceOrder) -> None:
        self.placed = placed
        self.order = Order.accepted(placed)
        self.retrying = 0
        self._followed: set[int] = set()
        self._shown_status = OrderStatus.ACCEPTED

    def booking(self) -> dict[str, Any]:
        """What every booking says."""
        return {"order_id": self.order.id, "at": workflow.now(), "known": self.known}

    @property
    def known(self) -> int:
        return self.order.timeline[-1].sequence

    @property
    def retry_window(self) -> timedelta:
        return timedelta(seconds=self.placed.rules.retry_window_s)

    def learn(self, progress: Progress) -> None:
        self.order = progress.applied_to(self.order)

    async def book(
        self, activity: Callable[[Any, Any], Awaitable[Progress]], booking: Booking | Reserve, *, what: str
    ) -> None:
        """Write to our books, and learn where they stand. Raises ApplicationError when they refuse."""
        self.learn(await book(activity, booking, what=what))

    async def call(
        self,
        activity: Callable[[Any, ProviderStep[Any]], Awaitable[Progress]],
        name: StepName,
        request: ProviderRequest,
        *,
        task_queue: str,
        window: timedelta | None,
        what: str,
        stop: Callable[[], bool],
    ) -> None:
        """Make a call that our books have announced. Raises Refused, GaveUp or Stopped."""
        step = self.order.step(name, request.fulfilment)
        assert step is not None
        in_trouble = False

        def on_trouble() -> None:
            nonlocal in_trouble
            in_trouble = True
            self.retrying += 1
            self.show(f"Not done at once: {what}. See the pending activity for attempts and the last error.")

        try:
            progress = await call_provider(
                activity,
                ProviderStep(**self.booking(), step=step, call=request),
                task_queue=task_queue,
                window=window,
                what=what,
                on_trouble=on_trouble,
                stop=stop,
            )
        except Refused as refused:
            self.learn(refused.progress)
            raise
        finally:
            self.retrying -= in_trouble
        self.learn(progress)

    async def follow_shipment(self, fulfilment: int) -> None:
        """Have the shipment of a fulfilment followed, whatever becomes of the order. A repeat changes nothing."""
        poll_after_s = self.placed.rules.shipment_poll_after_s
        if fulfilment in self._followed or poll_after_s is None:
            return
        self._followed.add(fulfilment)
        ship = self.order.step(StepName.SHIP, fulfilment)
        assert ship is not None and ship.reference is not None  # noqa: PT018
        name = fulfilment_id(self.order.id, fulfilment)
        # An order that was reset to an earlier point has its shipment followed already.
        with suppress(WorkflowAlreadyStartedError):
            await workflow.start_child_workflow(
                ShipmentWorkflow.run,
                FollowShipment(
                    fulfilment_id=name,
                    order_id=self.order.id,
                    carrier_id=ship.reference,
                    rules=ShipmentRules(poll_after_s=poll_after_s),
                ),
                id=shipment_workflow_id(name),
                id_reuse_policy=WorkflowIDReusePolicy.REJECT_DUPLICATE,
                task_queue=queues.SHIPMENTS,
                task_timeout=TASK_TIMEOUT,
                parent_close_policy=ParentClosePolicy.ABANDON,
                static_summary=f"{ship.reference} of {self.order.customer_id}",
            )

    def is_unsettled(self, name: StepName, fulfilment: int) -> bool:
        """Whether a call was announced and its outcome is not known."""
        step = self.order.step(name, fulfilment)
        return step is not None and step.outcome is None

    def show(self, details: str) -> None:
        """Put the status where operators look: the Web UI's current details and the search attribute."""
        workflow.set_current_details(details)
        if self.order.status is not self._shown_status:
            self._shown_status = self.order.status
            workflow.upsert_search_attributes([ORDER_STATUS.value_set(self.order.status)])

    def show_total(self) -> None:
        """Put the total of an amended order where operators look."""
        workflow.upsert_search_attributes([ORDER_TOTAL.value_set(self.order.total.amount)])
