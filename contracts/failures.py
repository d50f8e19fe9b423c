"""Why an order, or a part of it, did not complete."""

from enum import StrEnum

from pydantic import BaseModel


class FailureCode(StrEnum):
    OUT_OF_STOCK = "out_of_stock"
    PAYMENT_DECLINED = "payment_declined"
    FRAUD_SUSPECTED = "fraud_suspected"
    APPROVAL_REJECTED = "approval_rejected"
    APPROVAL_TIMED_OUT = "approval_timed_out"
    CUSTOMER_TIMED_OUT = "customer_timed_out"
    SHIPPING_FAILED = "shipping_failed"
    CANCELLED_BY_CUSTOMER = "cancelled_by_customer"


class Failure(BaseModel, frozen=True):
    """Why something did not complete, for programs and for people."""

    code: FailureCode
    message: str
