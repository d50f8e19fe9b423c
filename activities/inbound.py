"""Processes the events that providers sent us, once they are kept."""

from structlog.contextvars import bound_contextvars

from activities.carrier_events import CarrierEvents
from activities.payment_events import PaymentEvents
from contracts.inbound import InboundProvider, Processing
from contracts.outbox import OutboxRow
from database.inbound import InboundRepository


class InboundEvents:
    """Handles the outbox rows of inbound events. A repeat is harmless, and so is an event of an unknown type."""

    def __init__(self, events: InboundRepository, payments: PaymentEvents, carrier: CarrierEvents) -> None:
        self._events = events
        self._payments = payments
        self._carrier = carrier

    async def handle(self, row: OutboxRow) -> None:
        """Process the event that the row names, or raise to have it tried again."""
        event = await self._events.unprocessed(InboundProvider(row.payload["provider"]), row.payload["event_id"])
        if event is None:
            return
        with bound_contextvars(provider=event.provider, event_id=event.id):
            match event.provider:
                case InboundProvider.PAYMENTS:
                    processing = await self._payments.process(event)
                case InboundProvider.CARRIER:
                    processing = await self._carrier.process(event, row.created_at)
        match processing:
            case Processing.DONE:
                await self._events.done(event)
            case Processing.UNKNOWN:
                await self._events.ignored(event)
            case Processing.WAITS:
                return
