"""/console/all: whatever fits a filter retried, resolved or discarded at once, after a look at what it is."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, TypeVar
from uuid import uuid4

from fastapi import APIRouter, Query
from starlette.responses import RedirectResponse, Response

from api.auth import Scope
from api.bulk_bodies import BulkBody, BulkPreviewBody
from api.bulk_keeping import BulkKeeper
from api.console_deeds import MAX_NOTE, answers_in
from api.console_page import page
from api.dead_letter_bodies import MAX_SWEPT, DiscardAllBody, FilterBody, Sought
from api.dead_letter_resource import SkippedLetter
from api.dependencies import KEY, Acting, Bulks, Letters
from api.errors import CountDiffers, IdempotencyKeyReused, InvalidRequest, Problem
from api.page_routing import Form, PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE, Session
from contracts.bulk import MAX_ITEMS, BulkAction
from contracts.dead_letters import DeadLetterKind
from contracts.orders import FINAL_STATUSES

Sent = TypeVar("Sent", BulkBody, DiscardAllBody)

# Longer numbers are not worth reading.
MAX_DIGITS = 9

router = APIRouter(prefix=f"{CONSOLE}/all", route_class=PageRoute, include_in_schema=False)


class AllDeed(StrEnum):
    RETRY = "retry"
    RESOLVE = "resolve"
    DISCARD = "discard"


@dataclass(frozen=True)
class Offer:
    """How a deed is offered, what its preview says will happen, and to how many at once it can be done."""

    name: str
    effect: str
    at_most: int = MAX_ITEMS
    is_grave: bool = False


OFFERS: Mapping[AllDeed, Offer] = {
    AllDeed.RETRY: Offer(
        "Retry",
        "Each is tried again as by itself, oldest first, five a second. It is done whatever restarts meanwhile.",
    ),
    AllDeed.RESOLVE: Offer(
        "Resolve",
        "Each order is closed with the status that you choose, oldest first, five a second. What is still to be undone "
        "is undone first; what our books contradict is left. It is done whatever restarts meanwhile.",
        is_grave=True,
    ),
    AllDeed.DISCARD: Offer(
        "Discard", "They are not listed any more. Orders are left: they must be resolved.", MAX_SWEPT, is_grave=True
    ),
}


@dataclass(frozen=True)
class Asked:
    """What a preview is about, and what its form sends back; `key` names the bulk action that comes of it."""

    deed: AllDeed
    filter: FilterBody
    key: str

    @classmethod
    def anew(cls, deed: AllDeed, found: FilterBody) -> "Asked":
        return cls(deed, found, f"console-{uuid4().hex}")


@router.get("/{deed}")
@requires_session(Scope.OPERATOR)
async def ask_about_all(
    session: SignedIn,
    deed: AllDeed,
    bulks: Bulks,
    kind: DeadLetterKind | None = None,
    reason: Annotated[Sought | None, Query()] = None,
) -> Response:
    """How many fit, why they failed, and the first of them; and the form that has it done to all of them."""
    return await _preview(session, bulks, Asked.anew(deed, _filter(deed, {"kind": kind, "reason": reason})))


@router.post("/{deed}")
@requires_session(Scope.OPERATOR)
async def treat_all(
    session: SignedIn, deed: AllDeed, bulks: Bulks, letters: Letters, acting: Acting, form: Form
) -> Response:
    """Do it to those that the preview showed, or say that there are more or fewer by now."""
    note, errors = answers_in(form, _statuses(deed))
    asked, expected = _sent(deed, form)
    if errors:
        return await _preview(session, bulks, asked, typed=form, errors=errors, status=422)
    act = acting.because(note)
    try:
        if deed is AllDeed.DISCARD:
            swept = await letters.discard_all(_checked(DiscardAllBody, asked, expected=expected, reason=note), act)
            if swept.skipped:
                return await _preview(session, bulks, Asked.anew(deed, asked.filter), skipped=swept.skipped)
            return RedirectResponse(f"{CONSOLE}/attention", 303)
        terms = {"action": BulkAction(deed), "status": form["status"] if deed is AllDeed.RESOLVE else None}
        bulk, _ = await bulks.accept(asked.key, _checked(BulkBody, asked, expected=expected, note=note, **terms), act)
        return RedirectResponse(f"{CONSOLE}/bulk/{bulk.id}", 303)
    except (CountDiffers, IdempotencyKeyReused) as refusal:
        fresh = Asked.anew(deed, asked.filter)
        return await _preview(session, bulks, fresh, typed=form, refusal=refusal, status=refusal.status)


def _statuses(deed: AllDeed) -> Sequence[str]:
    """As what the deed may close a thing."""
    return sorted(FINAL_STATUSES) if deed is AllDeed.RESOLVE else ()


def _filter(deed: AllDeed, wanted: Mapping[str, str | None]) -> FilterBody:
    # Nothing else can be resolved.
    kind = DeadLetterKind.ORDER if deed is AllDeed.RESOLVE else wanted.get("kind") or None
    return FilterBody.model_validate({"kind": kind, "reason": wanted.get("reason") or None})


def _sent(deed: AllDeed, form: Mapping[str, str]) -> tuple[Asked, int]:
    """What the preview's form says. Raises InvalidRequest for what no preview of ours has sent."""
    key, expected = form.get("key", ""), form.get("expected", "")
    try:
        if not KEY.fullmatch(key) or len(expected) > MAX_DIGITS:
            raise ValueError
        return Asked(deed, _filter(deed, form), key), int(expected)
    except ValueError:
        raise _not_ours() from None


def _checked(body: type[Sent], asked: Asked, **terms: object) -> Sent:
    try:
        return body.model_validate({"filter": asked.filter.model_dump(exclude_none=True), **terms})
    except ValueError:
        raise _not_ours() from None


def _not_ours() -> InvalidRequest:
    return InvalidRequest("Open the preview again, and confirm it there.")


async def _preview(
    session: Session,
    bulks: BulkKeeper,
    asked: Asked,
    *,
    typed: Mapping[str, str] | None = None,
    errors: Mapping[str, str] | None = None,
    refusal: Problem | None = None,
    skipped: tuple[SkippedLetter, ...] = (),
    status: int = 200,
) -> Response:
    action = BulkAction.RESOLVE if asked.deed is AllDeed.RESOLVE else BulkAction.RETRY
    return page(
        "all.html",
        session,
        status=status,
        preview=await bulks.preview(BulkPreviewBody(action=action, filter=asked.filter)),
        asked=asked,
        offer=OFFERS[asked.deed],
        statuses=_statuses(asked.deed),
        typed=typed or {},
        errors=errors or {},
        refusal=refusal,
        skipped=skipped,
        max_note=MAX_NOTE,
    )
