"""The floor: the least that Temporal can do for the same effects, well tuned, with no API and no way back."""

from datetime import timedelta

from temporalio import workflow

from benchmarks.floor_activities import FloorActivities, FloorOrder

BOUND = timedelta(seconds=5)


@workflow.defn(name="Floor")
class FloorWorkflow:
    """One reservation, a charge, a shipment, one recording: four local activities in one workflow task."""

    @workflow.run
    async def run(self, order: FloorOrder) -> None:
        for step in (FloorActivities.reserve, FloorActivities.charge, FloorActivities.ship, FloorActivities.record):
            await workflow.execute_local_activity_method(step, order, start_to_close_timeout=BOUND)
