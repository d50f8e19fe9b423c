"""The floors: the least that Temporal can do for the same effects, well tuned, with no API and no way back."""

from datetime import timedelta

from temporalio import workflow
from temporalio.workflow import ParentClosePolicy

from benchmarks.floor_activities import FloorActivities, FloorOrder

BOUND = timedelta(seconds=5)
SILENCE = timedelta(hours=6)


@workflow.defn(name="Floor")
class FloorWorkflow:
    """One reservation, a charge, a shipment, one recording: four local activities in one workflow task."""

    @workflow.run
    async def run(self, order: FloorOrder) -> None:
        for step in (FloorActivities.reserve, FloorActivities.charge, FloorActivities.ship, FloorActivities.record):
            await workflow.execute_local_activity_method(step, order, start_to_close_timeout=BOUND)


@workflow.defn(name="FloorShipment")
class FloorShipmentWorkflow:
    """Waits for a carrier that tells nothing."""

    @workflow.run
    async def run(self) -> None:
        await workflow.sleep(SILENCE)


@workflow.defn(name="FollowedFloor")
class FollowedFloorWorkflow(FloorWorkflow):
    """The same, and a child workflow that goes on with the shipment."""

    @workflow.run
    async def run(self, order: FloorOrder) -> None:
        await super().run(order)
        await workflow.start_child_workflow(
            FloorShipmentWorkflow.run,
            id=f"floor-shipment/{order.id}",
            task_timeout=timedelta(seconds=2),
            parent_close_policy=ParentClosePolicy.ABANDON,
        )
