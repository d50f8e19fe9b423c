"""What the carrier's events mean to us; their envelope is that of Standard Webhooks 1.0."""

from pydantic import BaseModel

from contracts.inbound import InboundEvent, ProviderWord
from contracts.shipments import CarrierTime, TrackingSource, TrackingStep

PREFIX = "shipment."


class _Shipment(BaseModel):
    """The carrier has the order's and the fulfilment's id too; its own is the one that our books go by."""

    shipment_id: ProviderWord


class _Event(BaseModel):
    timestamp: CarrierTime
    data: _Shipment


def read_event(event: InboundEvent) -> TrackingStep | None:
    """The step that an event tells of; None for one that is about something else.

    Raises ValueError for an event that is not as the carrier documents it.
    """
    step = event.type.removeprefix(PREFIX)
    if step in ("", event.type):
        return None
    told = _Event.model_validate_json(event.body)
    return TrackingStep(
        source=TrackingSource.WEBHOOK,
        event_id=event.id,
        carrier_id=told.data.shipment_id,
        step=step,
        occurred_at=told.timestamp,
    )
