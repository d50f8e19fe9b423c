"""An order while its row is locked: what happened, and what the transaction adds to it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from contracts.audit import Act, AuditAction
from contracts.books import Amendment, Progress
from contracts.failures import Failure
from contracts.fraud import Verdict
from contracts.fulfilments import Fulfilment, FulfilmentStatus, OrderLine, total_of
from contracts.ids import fulfilment_id
from contracts.money import Money
from contracts.orders import Address, EventType, OrderStatus, Phase, TimelineEntry
from contracts.steps import WHOLE_ORDER, Outcome, Step, StepName
from contracts.webhooks import TOLD_OF_ORDERS, TOLD_OF_SHIPPING, status_at
from database import inventory, shipments, spendings
from database.audit import record_booking
from database.transaction import Connection

StepId = tuple[StepName, int]


@dataclass
class Additions:
    """What a transaction adds to an order; written together when it commits."""

    events: list[str] = field(default_factory=list)
    told: list[dict[str, Any]] = field(default_factory=list)
    steps: set[StepId] = field(default_factory=set)

    def __bool__(self) -> bool:
        return bool(self.events or self.steps)


@dataclass
class OpenOrder:
    """An order open for change. Its row is locked, or is being entered by this very transaction."""

    connection: Connection
    id: str
    customer_id: str
    status: OrderStatus
    phase: Phase
    lines: tuple[OrderLine, ...]
    ship_to: Address
    updated_at: datetime
    removed_lines: tuple[OrderLine, ...] = ()
    fulfilments: tuple[Fulfilment, ...] = ()
    failure: Failure | None = None
    final_status: OrderStatus | None = None
    revision: int = 0
    # Whether what is charged from now on is checked first.
    checks_fraud: bool = False
    events: dict[str, TimelineEntry] = field(default_factory=dict)
    steps_by_id: dict[StepId, Step] = field(default_factory=dict)
    added: Additions = field(default_factory=Additions)
    is_rewritten: bool = False

    @property
    def total(self) -> Money:
        return total_of(self.lines)

    # The timeline.

    def has(self, event: EventType | str) -> bool:
        """Whether this event is in the timeline already: its booking was done before."""
        return str(event) in self.events

    def note(
        self, event: EventType, at: datetime, detail: str, *, key: str | None = None, fulfilment: int | None = None
    ) -> None:
        """Add to the timeline. `key` tells apart events that may happen more than once.

        The row's lock decides the order of events that race (a cancel with the end of a call, say), not the clocks
        that their attempts read before they waited for it: the time of an entry is never before its predecessor's.
        """
        key = key or event.value
        at = max([at, *(entry.at for entry in self.events.values())])
        self.events[key] = TimelineEntry(sequence=len(self.events) + 1, at=at, type=event, detail=detail)
        self.added.events.append(key)
        if event in TOLD_OF_SHIPPING and fulfilment is not None:
            kind, status = TOLD_OF_SHIPPING[event]
            told = {"id": fulfilment_id(self.id, fulfilment), "type": kind, "status": status, "at": at}
            self.added.told.append(told)
        elif event in TOLD_OF_ORDERS:
            told = {"id": self.id, "type": TOLD_OF_ORDERS[event], "status": status_at(event, self.status), "at": at}
            self.added.told.append(told)
        self.updated_at = at

    def note_of(self, number: int, event: EventType, at: datetime, detail: str) -> None:
        """Add something that happened to a fulfilment; it is named when there are several."""
        if len(self.fulfilments) > 1:
            detail = f"fulfilment {number}: {detail}"
        key = event.value if number == 1 else f"{event}/{number}"
        self.note(event, at, detail, key=key, fulfilment=number)

    def close(self, status: OrderStatus, at: datetime, detail: str) -> None:
        """Give the order its final status; the event of the same name is the last of its timeline."""
        self.phase = Phase.CLOSED
        self.status = status
        self.note(EventType(status.value), at, detail)

    # Fulfilments.

    def fulfilment(self, number: int) -> Fulfilment:
        """Raises KeyError for a number that the order does not have."""
        for fulfilment in self.fulfilments:
            if fulfilment.number == number:
                return fulfilment
        raise KeyError(number)

    def change(self, number: int, **changes: FulfilmentStatus | Failure | None) -> None:
        """Replace fields of a fulfilment."""
        self.fulfilments = tuple(
            fulfilment.model_copy(update=changes) if fulfilment.number == number else fulfilment
            for fulfilment in self.fulfilments
        )

    async def audit(
        self, act: Act | None, action: AuditAction, before: Mapping[str, Any], after: Mapping[str, Any] | None = None
    ) -> None:
        """Enter in the audit log what an operator did to the order, if it was one who did.

        `after` is the order's status, unless told.
        """
        if act is not None:
            after = after if after is not None else {"status": self.status}
            await record_booking(self.connection, act, action, self.id, before=before, after=after)

    async def check_fraud(self, at: datetime) -> Verdict:
        """Whether the customer may spend what the order costs; see `spendings.judge` for how long others wait."""
        return await spendings.judge(self.connection, self.customer_id, self.id, self.total.amount, at)

    # What customers change of what they ordered.

    def send_to(self, address: Address) -> None:
        self.ship_to = address
        self.is_rewritten = True

    def remove(self, lines: tuple[OrderLine, ...]) -> None:
        """Take these units off the order."""
        removed = {line.sku: line.quantity for line in lines}
        self.lines = tuple(
            line.model_copy(update={"quantity": line.quantity - removed.get(line.sku, 0)})
            for line in self.lines
            if line.quantity > removed.get(line.sku, 0)
        )
        self.removed_lines = lines
        self.is_rewritten = True

    async def release_stock(self, number: int) -> bool:
        warehouse = self.fulfilment(number).warehouse
        return warehouse is not None and await inventory.release(self.connection, self.id, warehouse)

    async def ship_stock(self, number: int) -> bool:
        warehouse = self.fulfilment(number).warehouse
        return warehouse is not None and await inventory.ship(self.connection, self.id, warehouse)

    async def book_shipment(self, number: int, carrier_id: str, at: datetime) -> None:
        """Enter that the carrier has taken what a fulfilment sends."""
        await shipments.book(
            self.connection,
            fulfilment_id=fulfilment_id(self.id, number),
            order_id=self.id,
            carrier_id=carrier_id,
            at=at,
        )

    async def cancel_shipment(self, carrier_id: str, at: datetime) -> None:
        """Enter that the carrier has given something back."""
        await shipments.cancel(self.connection, carrier_id, at)

    # Provider calls.

    @property
    def steps(self) -> Iterable[Step]:
        return self.steps_by_id.values()

    def step(self, name: StepName, number: int) -> Step:
        """An announced step. Raises KeyError for one that was never announced."""
        return self.steps_by_id[name, number]

    def announce(self, name: StepName, number: int, at: datetime) -> None:
        """Write down that this call is about to be made, under which key. Announcing twice changes nothing."""
        if (name, number) not in self.steps_by_id:
            subject = self.id if number == WHOLE_ORDER else fulfilment_id(self.id, number)
            self._begin(Step(name=name, fulfilment=number, key=f"{subject}:{name}:1", begun_at=at))

    def announce_again(self, spent: Step, at: datetime) -> None:
        """Give a call a new key, once it is known that it had no effect under the `spent` one."""
        *name, turn = spent.key.split(":")
        step = self.step(spent.name, spent.fulfilment)
        if step.key == spent.key and step.outcome is None:
            key = ":".join((*name, str(int(turn) + 1)))
            self._begin(Step(name=spent.name, fulfilment=spent.fulfilment, key=key, begun_at=at))

    def settle(self, name: StepName, number: int, outcome: Outcome) -> None:
        """Write down what became of an announced call."""
        self._put(self.step(name, number).model_copy(update=dict(outcome)))

    def _begin(self, step: Step) -> None:
        self._put(step)
        # Who asks what was begun lately looks at orders that have changed since.
        self.updated_at = max(self.updated_at, step.begun_at)

    def _put(self, step: Step) -> None:
        self.steps_by_id[step.name, step.fulfilment] = step
        self.added.steps.add((step.name, step.fulfilment))

    # What the workflow hears.

    def progress(self, known: int, *, fulfilment: int | None = None) -> Progress:
        """Where the order stands: as a whole, or with no more of its fulfilments than this one."""
        moved = any(entry.type is EventType.ADDRESS_CHANGED for entry in self.events.values())
        amendment = Amendment(lines=self.lines, removed_lines=self.removed_lines, total=self.total)
        return Progress(
            status=self.status,
            phase=self.phase,
            failure=self.failure,
            fulfilment=fulfilment,
            fulfilments=self.fulfilments if fulfilment is None else (self.fulfilment(fulfilment),),
            steps=tuple(step for step in self.steps if fulfilment in (None, step.fulfilment)),
            entries=tuple(entry for entry in self.events.values() if entry.sequence > known),
            ship_to=self.ship_to if moved else None,
            amendment=amendment if self.removed_lines else None,
            revision=self.revision + bool(self.added),
            updated_at=self.updated_at,
        )
