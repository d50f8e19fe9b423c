"""What the mail server kept, for people (/inbox) and for programs (/inbox.json)."""

from jinja2 import Environment
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from sandbox.ledger import Ledger

SHOWN_AT_ONCE = 100

# A mail's HTML is anyone's: no script of it runs, nothing it names is loaded, and its links open elsewhere. The frame
# inherits this policy.
POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}

PAGE = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string("""\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Inbox</title>
<style>
  body { font: 1rem/1.5 system-ui, sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem; }
  article { border-top: 1px solid #767676; padding: 1rem 0; }
  h2 { margin: 0; font-size: 1.2rem; }
  h2, dd, pre { overflow-wrap: anywhere; white-space: pre-wrap; }
  dl { display: grid; grid-template-columns: max-content 1fr; gap: 0 1rem; }
  dd { margin: 0; }
  iframe { box-sizing: border-box; width: 100%; height: 24rem; resize: vertical; border: 1px solid #767676; }
</style>
</head>
<body>
<h1>Inbox</h1>
<p>{{ "Newest first, " ~ limit ~ " at most" if mails else "No mail" }}
{%- if to %}; to {{ to }} alone (<a href="?">show all</a>){% endif %}.</p>
{% for mail in mails %}
<article>
<h2>{{ mail.subject or "(no subject)" }}</h2>
<dl>
<dt>To</dt><dd><a href="?to={{ mail.to | urlencode }}">{{ mail.to }}</a></dd>
<dt>From</dt><dd>{{ mail["from"] }}</dd>
<dt>Received</dt><dd><time>{{ mail.received_at }}</time></dd>
</dl>
<details><summary>Headers</summary><pre>{{ mail.headers }}</pre></details>
{% if mail.text is not none %}
<pre>{{ mail.text }}</pre>
{% endif %}
{% if mail.html is not none %}
<iframe title="HTML of {{ mail.subject }}" loading="lazy" sandbox="allow-popups allow-popups-to-escape-sandbox"
  srcdoc="{{ '<base target="_blank">' ~ mail.html }}"></iframe>
{% endif %}
</article>
{% endfor %}
</body>
</html>
""")


class Inbox:
    """Every mail the server accepted; `?to=` narrows it to one recipient."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger

    def routes(self) -> list[Route]:
        return [
            Route("/inbox", self.page, methods=["GET"]),
            Route("/inbox.json", self.messages, methods=["GET"]),
        ]

    async def messages(self, request: Request) -> Response:
        return JSONResponse({"messages": self.ledger.messages(request.query_params.get("to"))})

    async def page(self, request: Request) -> Response:
        to = request.query_params.get("to")
        mails = self.ledger.newest_emails(to, SHOWN_AT_ONCE)
        return HTMLResponse(PAGE.render(mails=mails, to=to, limit=SHOWN_AT_ONCE), headers=HEADERS)
