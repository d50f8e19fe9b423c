"""What follows from the carrier's events: each is kept, and told to the workflow that follows its shipment."""

from datetime import UTC, datetime, timedelta

import structlog
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from contracts.ids import shipment_workflow_id
from contracts.inbound import InboundEvent, Processing
from contracts.shipments import TrackedShipment, TrackingStep
from database.shipments import ShipmentRepository
from providers.carrier_events import read_event

RPC_TIMEOUT = timedelta(seconds=5)
# From a shipment's being taken to its workflow's start there is a booking, and after a crash a lost workflow task.
PATIENCE = timedelta(seconds=60)

log = structlog.get_logger()


class TooEarly(Exception):
    """The carrier was quicker than our books, or than the workflow that is to hear of it."""


class CarrierEvents:
    """Processes the carrier's events, which come in any order and any number of times."""

    def __init__(self, shipments: ShipmentRepository, temporal: Client) -> None:
        self._shipments = shipments
        self._temporal = temporal

    async def process(self, event: InboundEvent, handed_over_at: datetime) -> Processing:
        """Do what follows from an event, or raise to have it tried again.

        Those wait that are of a shipment that our books don't have: they are handed over again by the booking of their
        shipment.
        """
        try:
            step = read_event(event)
        except ValueError as error:
            # It will be no more readable the next time, and it is kept.
            log.error("carrier event not understood", type=event.type, error=type(error).__name__)
            return Processing.UNKNOWN
        if step is None:
            return Processing.UNKNOWN
        since, shipment = await self._shipments.keep(step)
        is_early = datetime.now(UTC) - max(since, handed_over_at) < PATIENCE
        if shipment is None:
            if is_early:
                raise TooEarly(f"our books do not have {step.carrier_id}")
            return Processing.WAITS
        if not await self._tell(shipment, step):
            if is_early and not shipment.status.is_final:
                raise TooEarly(f"nobody follows {shipment.fulfilment_id} yet")
            # Its workflow is over. There is nobody to hear of it but our books.
            await self._shipments.settle(shipment.carrier_id)
        return Processing.DONE

    async def _tell(self, shipment: TrackedShipment, step: TrackingStep) -> bool:
        """Whether there is a workflow to tell."""
        handle = self._temporal.get_workflow_handle(shipment_workflow_id(shipment.fulfilment_id))
        try:
            await handle.signal("tracked", step, rpc_timeout=RPC_TIMEOUT)
        except RPCError as error:
            if error.status is RPCStatusCode.NOT_FOUND:
                return False
            raise
        return True
