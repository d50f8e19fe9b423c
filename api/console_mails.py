"""/console/mails/{id}: what became of a mail. Those that bounced are listed with what needs attention."""

from fastapi import APIRouter
from starlette.responses import Response

from api.auth import Scope
from api.console_deeds import MAIL_DEEDS
from api.console_page import page
from api.dependencies import Letters, Mails
from api.errors import NotFound
from api.outages import asking_postgres
from api.page_routing import PageRoute, SignedIn
from api.routing import requires_session
from api.sessions import CONSOLE
from contracts.ids import is_mail_id
from contracts.mail import MailOutcome

SHOWN = 25

router = APIRouter(prefix=f"{CONSOLE}/mails", route_class=PageRoute, include_in_schema=False)


@router.get("/{mail_id}")
@requires_session(Scope.OPERATOR)
async def show_mail(session: SignedIn, mail_id: str, mails: Mails, letters: Letters) -> Response:
    """A mail: what it is about, and what came of it. Neither its address nor its text is kept."""
    async with asking_postgres():
        mail = await mails.find(mail_id) if is_mail_id(mail_id) else None
    if mail is None:
        raise NotFound
    audit = await letters.audit(subject=mail_id, actor=None, action=None, cursor=None, limit=SHOWN)
    deeds = MAIL_DEEDS if mail.outcome is MailOutcome.BOUNCED else {}
    return page("mail.html", session, mail=mail, deeds=deeds, audit=audit)
