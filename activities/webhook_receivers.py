"""The receivers that a deployment configures: they become endpoints of the system's own."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import asyncpg
import structlog
from sqlalchemy.exc import SQLAlchemyError

from database.webhook_endpoints import EndpointRepository

EVENT_TYPES = ("order.*",)
TRY_AGAIN_AFTER_S = 1.0

log = structlog.get_logger()


@dataclass(frozen=True)
class SystemReceiver:
    """A receiver by the name that the deployment gives it, with the secret it checks signatures with."""

    name: str
    url: str
    secret: str = field(repr=False)


async def keep_receivers(endpoints: EndpointRepository, receivers: Sequence[SystemReceiver]) -> None:
    """Have an endpoint for each, with its URL and secret as configured; an outage of Postgres is waited out.

    New ones get every order event; what operators change about event types or status stays.
    """
    for receiver in receivers:
        while True:
            try:
                await endpoints.keep_receiver(
                    receiver.name, url=receiver.url, event_types=EVENT_TYPES, secret=receiver.secret
                )
                break
            except (SQLAlchemyError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
                log.warning("the system's receivers cannot be written down yet", error=type(error).__name__)
            await asyncio.sleep(TRY_AGAIN_AFTER_S)
