"""An order's timeline, told to one client: as server-sent events, or over a WebSocket."""

import asyncio

from fastapi.sse import format_sse_event
from starlette.websockets import WebSocket, WebSocketDisconnect

from api.connections import Connection
from api.event_streams import EventStream, Watchdog
from api.metrics import ORDER_WATCHERS_DROPPED
from api.order_feed import FollowingTimeline, OrderFeed
from contracts.orders import TimelineEntry

NORMAL_CLOSURE, POLICY_VIOLATION = 1000, 1008


class TimelineResponse(EventStream[FollowingTimeline]):
    """An order's entries above `after`, each an event whose id is its sequence; it ends after the final one."""

    def __init__(self, feed: OrderFeed, order_id: str, after: int, until: float) -> None:
        super().__init__(feed.follow(order_id, after), _event_of, until, ORDER_WATCHERS_DROPPED)


def _event_of(entry: TimelineEntry) -> bytes:
    return format_sse_event(data_str=entry.model_dump_json(), id=str(entry.sequence))


async def tell_over(websocket: WebSocket, feed: OrderFeed, order_id: str, after: int, until: float) -> None:
    """Accept, and send the order's entries above `after`, a JSON text each.

    Closes with 1000 after the final one, and with 1008 (policy violation) at `until`, in seconds since the epoch.
    """
    await websocket.accept()
    with feed.follow(order_id, after) as entries:
        watchdog = Watchdog(entries, Connection.of(websocket.scope), ORDER_WATCHERS_DROPPED)
        async with asyncio.TaskGroup() as group:
            listening = group.create_task(_end_when_left(websocket, watchdog))
            try:
                with watchdog.on_guard(until):
                    async for entry in entries:
                        with watchdog.sending():
                            await websocket.send_text(entry.model_dump_json())
                with watchdog.sending():
                    if entries.is_complete:
                        await websocket.close(NORMAL_CLOSURE)
                    elif watchdog.is_expired:
                        await websocket.close(POLICY_VIOLATION, "the token has expired")
            except WebSocketDisconnect:
                # It left, or was dropped, while this was on its way.
                pass
            finally:
                listening.cancel()


async def _end_when_left(websocket: WebSocket, watchdog: Watchdog) -> None:
    """Ignore what the client says until it leaves, or the server does."""
    while (await websocket.receive())["type"] != "websocket.disconnect":
        pass
    watchdog.end()
