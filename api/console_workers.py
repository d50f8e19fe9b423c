"""The workers that are there, as the queues that they poll tell of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from api.queue_resource import QueueResource


@dataclass(frozen=True)
class Worker:
    """A worker's process: what it runs (None: it is not versioned), when it was heard of last, and its queues."""

    identity: str
    build_id: str | None
    last_seen_at: datetime
    queues: tuple[str, ...]


def workers_of(queues: Sequence[QueueResource]) -> list[Worker]:
    """Each worker once, by name."""
    found: dict[str, Worker] = {}
    for queue in queues:
        for poller in (*queue.workflow.pollers, *queue.activity.pollers):
            known = found.get(poller.identity)
            found[poller.identity] = Worker(
                poller.identity,
                poller.build_id or (known.build_id if known else None),
                max(poller.last_seen_at, known.last_seen_at) if known else poller.last_seen_at,
                tuple(dict.fromkeys((*(known.queues if known else ()), queue.name))),
            )
    return [found[identity] for identity in sorted(found)]
