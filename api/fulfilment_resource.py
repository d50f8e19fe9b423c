"""What clients see of an order's fulfilments and of its money."""

from datetime import datetime
from enum import StrEnum
from typing import Self

from pydantic import BaseModel

from contracts.failures import Failure
from contracts.fulfilments import Fulfilment, FulfilmentStatus, OrderLine
from contracts.ids import fulfilment_id
from contracts.money import Money
from contracts.orders import Order
from contracts.shipments import ShipmentStatus
from contracts.steps import StepName, StepOutcome, outcome_of


class PaymentStatus(StrEnum):
    """`pending` covers everything that is not known yet, `partially_charged` an order of which some was charged."""

    PENDING = "pending"
    CHARGED = "charged"
    PARTIALLY_CHARGED = "partially_charged"
    DECLINED = "declined"
    REFUNDED = "refunded"


class ChargeResource(BaseModel, frozen=True):
    """A fulfilment's money; the ids are the payment provider's."""

    id: str | None
    status: PaymentStatus
    amount: Money
    refund_id: str | None


class ShipmentResource(BaseModel, frozen=True):
    """A parcel; the id is the carrier's."""

    id: str
    status: ShipmentStatus
    dispatched_at: datetime | None
    delivered_at: datetime | None


class FulfilmentResource(BaseModel, frozen=True):
    """What is sent together, paid and shipped by itself; `warehouse` is null for what none has."""

    id: str
    warehouse: str | None
    lines: tuple[OrderLine, ...]
    status: FulfilmentStatus
    amount: Money
    charge: ChargeResource | None
    shipment: ShipmentResource | None
    failure: Failure | None
    delivered_at: datetime | None

    @classmethod
    def of(cls, order: Order, fulfilment: Fulfilment) -> Self:
        shipment = _shipment(order, fulfilment)
        return cls(
            id=fulfilment_id(order.id, fulfilment.number),
            warehouse=fulfilment.warehouse,
            lines=fulfilment.lines,
            status=_status(fulfilment, shipment),
            amount=fulfilment.amount,
            charge=_charge(order, fulfilment),
            shipment=shipment,
            failure=fulfilment.failure,
            delivered_at=shipment.delivered_at if shipment else None,
        )


class PaymentResource(BaseModel, frozen=True):
    """The money of the whole order: `amount` is what the status speaks of. The ids are null when there are several."""

    status: PaymentStatus
    amount: Money
    charge_id: str | None
    refund_id: str | None

    @classmethod
    def of(cls, order: Order) -> Self | None:
        """None before a charge was announced, and when it is known that there was none."""
        charges = [charge for fulfilment in order.fulfilments if (charge := _charge(order, fulfilment))]
        if not charges:
            return None
        status, counted = _together(charges)
        return cls(
            status=status,
            amount=Money(amount=sum(charge.amount.amount for charge in counted), currency=charges[0].amount.currency),
            charge_id=charges[0].id if len(charges) == 1 else None,
            refund_id=charges[0].refund_id if len(charges) == 1 else None,
        )


def _together(charges: list[ChargeResource]) -> tuple[PaymentStatus, list[ChargeResource]]:
    """What several charges are as one, and those of them that this speaks of."""
    statuses = {charge.status for charge in charges}
    if len(statuses) == 1 or PaymentStatus.PENDING in statuses:
        return (PaymentStatus.PENDING if len(statuses) > 1 else charges[0].status), charges
    if PaymentStatus.CHARGED in statuses:
        return PaymentStatus.PARTIALLY_CHARGED, [one for one in charges if one.status is PaymentStatus.CHARGED]
    return PaymentStatus.REFUNDED, [one for one in charges if one.status is PaymentStatus.REFUNDED]


def _charge(order: Order, fulfilment: Fulfilment) -> ChargeResource | None:
    charge = order.step(StepName.CHARGE, fulfilment.number)
    refund = order.step(StepName.REFUND, fulfilment.number)
    if charge is None or charge.outcome is StepOutcome.ABSENT:
        return None
    refund_id = refund.reference if refund and refund.outcome is StepOutcome.SUCCEEDED else None
    if refund_id is not None:
        status = PaymentStatus.REFUNDED
    elif charge.outcome is None:
        status = PaymentStatus.PENDING
    else:
        status = PaymentStatus.CHARGED if charge.outcome is StepOutcome.SUCCEEDED else PaymentStatus.DECLINED
    return ChargeResource(id=charge.reference, status=status, amount=fulfilment.amount, refund_id=refund_id)


def _shipment(order: Order, fulfilment: Fulfilment) -> ShipmentResource | None:
    ship = order.step(StepName.SHIP, fulfilment.number)
    if ship is None or ship.reference is None:
        return None
    tracked = next((one for one in order.shipments if one.carrier_id == ship.reference), None)
    if tracked is not None:
        return ShipmentResource(
            id=tracked.carrier_id,
            status=tracked.status,
            dispatched_at=tracked.dispatched_at,
            delivered_at=tracked.delivered_at,
        )
    # It was booked a moment ago, or before shipments were followed.
    cancelled = outcome_of(order.steps, StepName.CANCEL_SHIPMENT, fulfilment.number) is StepOutcome.SUCCEEDED
    status = ShipmentStatus.CANCELLED if cancelled else ShipmentStatus.BOOKED
    return ShipmentResource(id=ship.reference, status=status, dispatched_at=None, delivered_at=None)


def _status(fulfilment: Fulfilment, shipment: ShipmentResource | None) -> FulfilmentStatus:
    delivered = shipment is not None and shipment.status is ShipmentStatus.DELIVERED
    is_sent = fulfilment.status is FulfilmentStatus.SHIPPED
    return FulfilmentStatus.DELIVERED if is_sent and delivered else fulfilment.status
