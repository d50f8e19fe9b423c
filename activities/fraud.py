"""The check that comes before a charge: whether a customer spends more than the limit allows."""

from datetime import timedelta
from typing import TYPE_CHECKING

from temporalio import activity
from temporalio.exceptions import ApplicationError, ApplicationErrorCategory

from activities.clock import attempt_time
from activities.provider_calls import is_awaited, refusal
from activities.turns import announce_charges
from contracts.books import Progress, ProviderStep
from contracts.failures import FailureCode
from contracts.fraud import Verdict
from contracts.orders import Phase
from contracts.providers import FraudCheck
from contracts.steps import ABSENT, WHOLE_ORDER, StepName, StepOutcome, refused, succeeded

# Workflows import this module for its signatures; what it needs to run stays out of them.
if TYPE_CHECKING:
    from database.books import Books

# Orders go on soon after checks are lifted, and a few thousand that wait are no load.
SUSPENDED_RETRY = timedelta(seconds=2)


class FraudActivities:
    """Checks orders before they are charged."""

    def __init__(self, books: "Books") -> None:
        self.books = books

    @activity.defn
    async def check_fraud(self, announced: ProviderStep[FraudCheck]) -> Progress:
        """Announce the charges of an order that its customer's limit allows.

        Raises fraud_suspected (not retried) for any other, and fraud_checks_suspended while there are no checks.
        """
        at = attempt_time(announced.at)
        async with self.books.order(announced.order_id) as order:
            if is_awaited(order, announced.step):
                if order.phase is not Phase.FORWARD:
                    order.settle(StepName.CHECK_FRAUD, WHOLE_ORDER, ABSENT)
                    return order.progress(announced.known)
                match await order.check_fraud(at):
                    case Verdict.MAINTENANCE:
                        raise ApplicationError(
                            "fraud checks are suspended",
                            type="fraud_checks_suspended",
                            next_retry_delay=SUSPENDED_RETRY,
                            category=ApplicationErrorCategory.BENIGN,
                        )
                    case Verdict.PASSED | Verdict.NOT_NEEDED:
                        order.settle(StepName.CHECK_FRAUD, WHOLE_ORDER, succeeded("within the limit"))
                        announce_charges(order, at)
                    case Verdict.OVER_LIMIT:
                        over = f"{order.total} is more than the customer may spend now"
                        order.settle(StepName.CHECK_FRAUD, WHOLE_ORDER, refused(over))
            progress = order.progress(announced.known)
            check = order.step(StepName.CHECK_FRAUD, WHOLE_ORDER)
        if check.outcome is StepOutcome.REFUSED:
            raise refusal(FailureCode.FRAUD_SUSPECTED, check.message or "refused", progress)
        return progress
