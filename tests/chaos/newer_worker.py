"""A worker of a later release: its orders begin with a timer, which those of the present release know nothing of.

    python -m tests.chaos.newer_worker HOME

The change has no patch: an order that was begun by the present release cannot go on here, nor one of these there.
"""

import sys
from datetime import timedelta
from pathlib import Path

from temporalio import workflow

from contracts import queues
from contracts.orders import OrderOutcome, PlaceOrder
from hosting import orders as orders_hosted
from stack import run
from stack.home import Home
from workflows.orders import OrderWorkflow

PAUSE = timedelta(milliseconds=10)


@workflow.defn(name="Order")
class LaterOrderWorkflow(OrderWorkflow):
    """The order of a release to come."""

    @workflow.init
    def __init__(self, order: PlaceOrder) -> None:
        super().__init__(order)

    @workflow.run
    async def run(self, order: PlaceOrder) -> OrderOutcome:
        await workflow.sleep(PAUSE, summary="what is new")
        return await super().run(order)


def main(home: str) -> None:
    vars(orders_hosted).update(OrderWorkflow=LaterOrderWorkflow)
    run.worker(Home(Path(home)), queues.ALL)


if __name__ == "__main__":
    main(*sys.argv[1:])
