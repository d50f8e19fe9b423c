"""Where a shipment is: what the carrier told is decided, and a carrier that tells nothing is asked."""

from typing import TYPE_CHECKING

import structlog
from temporalio import activity

from activities.clock import attempt_time
from activities.provider_calls import try_again
from contracts.attention import AttentionItem
from contracts.providers import ProviderFailed, ProviderRefused, ProviderSilent
from contracts.shipments import ShipmentCheck, ShipmentStatus, TrackingSource, TrackingStep

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.attention import AttentionRepository
    from database.shipments import ShipmentRepository
    from providers.carrier import Carrier

log = structlog.get_logger()


class ShipmentActivities:
    """Follows shipments for their workflows, which learn what our books have them as."""

    def __init__(self, carrier: "Carrier", shipments: "ShipmentRepository", attention: "AttentionRepository") -> None:
        self.carrier = carrier
        self.shipments = shipments
        self.attention = attention

    @activity.defn
    async def settle_shipment(self, check: ShipmentCheck) -> ShipmentStatus:
        """Decide what the carrier has told."""
        return (await self.shipments.settle(check.carrier_id)).status

    @activity.defn
    async def poll_shipment(self, check: ShipmentCheck) -> ShipmentStatus:
        """Ask the carrier, and decide what it has on record and what it has told."""
        try:
            record = await self.carrier.track(check.carrier_id)
        except ProviderRefused as no:
            log.warning("shipment not known", carrier_id=check.carrier_id, error=str(no))
            return await self.settle_shipment(check)
        except ProviderFailed as error:
            raise try_again(error, "provider_failed", error.retry_after_s) from error
        except ProviderSilent as error:
            raise try_again(error, "provider_silent") from error
        steps = [
            # The carrier's record has each step once, whenever it is asked.
            TrackingStep(
                source=TrackingSource.POLL,
                event_id=f"{check.carrier_id}:{step}",
                carrier_id=check.carrier_id,
                step=step,
                occurred_at=occurred_at,
            )
            for step, occurred_at in record.steps(attempt_time(check.at)).items()
        ]
        return (await self.shipments.settle(check.carrier_id, on_record=steps)).status

    @activity.defn
    async def report_overdue_shipment(self, item: AttentionItem) -> None:
        """Have somebody look at a shipment that moves no more."""
        if await self.attention.open(item):
            log.warning("attention needed", kind=item.kind, order_id=item.order_id, detail=item.detail)
