"""What operators may do in the console, and the page that asks for a note before it is done."""

from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import dataclass
from enum import StrEnum

from pydantic import TypeAdapter, ValidationError
from starlette.responses import RedirectResponse, Response

from api.console_page import page
from api.errors import NotFound, Problem, TemporarilyUnavailable
from api.outages import Unreachable
from api.sessions import Session
from contracts.audit import Act
from contracts.text import Note

_NOTE = TypeAdapter(Note)
MAX_NOTE = 500


class OrderDeed(StrEnum):
    APPROVE = "approve"
    REJECT = "reject"
    RETRY = "retry"
    RESOLVE = "resolve"
    CANCEL = "cancel"


class LetterDeed(StrEnum):
    RETRY = "retry"
    DISCARD = "discard"


class BulkDeed(StrEnum):
    CANCEL = "cancel"
    RESUME = "resume"


class ScheduleDeed(StrEnum):
    PAUSE = "pause"
    RESUME = "resume"
    TRIGGER = "trigger"


@dataclass(frozen=True)
class Wording:
    """How a deed is offered, and what its confirmation says will happen."""

    offer: str
    effect: str
    is_grave: bool = False


ORDER_DEEDS: Mapping[OrderDeed, Wording] = {
    OrderDeed.APPROVE: Wording("Approve the order", "The order goes on: it is charged and shipped."),
    OrderDeed.REJECT: Wording("Reject the order", "The order ends. Nothing is charged, and nothing is sent.", True),
    OrderDeed.RETRY: Wording("Retry the order", "The order goes on where it stopped, with the very same calls."),
    OrderDeed.RESOLVE: Wording(
        "Resolve the order by hand",
        "The order is closed with the status that you choose. What is still to be undone is undone first; what our "
        "books contradict is refused.",
        True,
    ),
    OrderDeed.CANCEL: Wording(
        "Cancel the order", "The order is undone: shipments are called back, and charges refunded.", True
    ),
}
CANCEL_JOB = Wording("Cancel the job", "It ends at once, or stops when it can if it runs now.", True)
JOB_DEEDS: Mapping[LetterDeed, Wording] = {
    LetterDeed.RETRY: Wording("Retry the job", "It begins anew, from its first attempt, under its id."),
    LetterDeed.DISCARD: Wording("Discard the job", "It is not listed any more. It can be read as before.", True),
}
MAIL_DEEDS: Mapping[LetterDeed, Wording] = {
    LetterDeed.RETRY: Wording("Send the mail again", "It is sent once more, to the same address."),
    LetterDeed.DISCARD: Wording("Discard the mail", "It is not listed any more.", True),
}
ENDPOINT_DEEDS: Mapping[LetterDeed, Wording] = {
    LetterDeed.RETRY: Wording("Enable the endpoint", "It gets webhooks again. Those that it missed stay missed."),
    LetterDeed.DISCARD: Wording("Discard the notice", "It is not listed any more, and stays disabled.", True),
}
REDELIVER = Wording("Redeliver the message", "The very same message is sent once more, under its webhook-id.")
CLOSE_ITEM = Wording("Close the item", "It is not listed any more, unless it is found to have changed.", True)
BULK_DEEDS: Mapping[BulkDeed, Wording] = {
    BulkDeed.CANCEL: Wording(
        "Leave the rest", "What has not been done is left as it is; what was done stays done.", True
    ),
    BulkDeed.RESUME: Wording(
        "Go on with the rest", "What was left is done now, at the same pace; what was done stays done."
    ),
}
SCHEDULE_DEEDS: Mapping[ScheduleDeed, Wording] = {
    ScheduleDeed.PAUSE: Wording("Pause the schedule", "Nothing is started until it is resumed.", True),
    ScheduleDeed.RESUME: Wording("Resume the schedule", "It goes on. What was due in between is not made up for."),
    ScheduleDeed.TRIGGER: Wording("Run it now", "It runs now, or when the run under way has ended."),
}


@dataclass(frozen=True)
class Question:
    """A deed that waits for its confirmation: what to, where it is sent, and which page comes next."""

    wording: Wording
    subject: str
    action: str
    back: str
    statuses: tuple[str, ...] = ()

    def ask(
        self,
        session: Session,
        *,
        typed: Mapping[str, str] | None = None,
        errors: Mapping[str, str] | None = None,
        refusal: Problem | None = None,
        status: int = 200,
    ) -> Response:
        """The page that says what will happen, and asks why."""
        return page(
            "confirm.html",
            session,
            status=status,
            question=self,
            typed=typed or {},
            errors=errors or {},
            refusal=refusal,
            max_note=MAX_NOTE,
        )

    async def settle(
        self, session: Session, form: Mapping[str, str], acting: Act, do: Callable[[Act], Awaitable[object]]
    ) -> Response:
        """Do it, for the reason that the form gives; or ask again, with what stood in the way. Raises NotFound."""
        note, errors = answers_in(form, self.statuses)
        if errors:
            return self.ask(session, typed=form, errors=errors, status=422)
        try:
            await do(acting.because(note))
        except NotFound:
            raise
        except Problem as refusal:
            return self.ask(session, typed=form, refusal=refusal, status=refusal.status)
        except Unreachable:
            unsure = TemporarilyUnavailable("Nobody could tell whether it was done. Look before you do it again.")
            return self.ask(session, typed=form, refusal=unsure, status=unsure.status)
        return RedirectResponse(self.back, 303)


def answers_in(form: Mapping[str, str], statuses: Collection[str]) -> tuple[str, dict[str, str]]:
    """Why somebody does something, and what is wrong with the form: where there are `statuses` it must name one."""
    errors = {}
    try:
        note = _NOTE.validate_python(form.get("note", ""))
        if not note:
            errors["note"] = "Say why: it is kept in the audit log."
    except ValidationError as invalid:
        note = ""
        errors["note"] = _message(invalid)
    if statuses and form.get("status") not in statuses:
        errors["status"] = "Choose a status."
    return note, errors


def _message(invalid: ValidationError) -> str:
    error = invalid.errors()[0]
    if error["type"] == "string_too_long":
        return f"Use at most {MAX_NOTE} characters."
    message = error["msg"].removeprefix("Value error, ")
    return f"{message[:1].upper()}{message[1:]}."
