"""`python -m sandbox --port PORT [--smtp-port PORT] --ledger PATH [--carrier-webhooks-to URL]`: serve until SIGTERM or
SIGINT, then exit 0."""

import argparse
import os
import socket
from contextlib import closing
from pathlib import Path
from types import FrameType

import uvicorn

from sandbox.app import build_app
from sandbox.carrier_webhooks import CarrierWebhooks
from sandbox.faults import Faults
from sandbox.ledger import Ledger
from sandbox.smtp import MailServer
from sandbox.waiting import Waiting

# Longer than any HTTP pool keeps an idle connection, so that it is never the server that closes one being used.
IDLE_CONNECTION_S = 120
SECRET = "FOLLOWTHROUGH_CARRIER_WEBHOOK_SECRET"  # noqa: S105  # the variable's name


class SandboxServer(uvicorn.Server):
    """Stops at once, whatever it is keeping waiting, and calls that a success."""

    def __init__(self, config: uvicorn.Config, waiting: Waiting, mail: MailServer, smtp_port: int | None) -> None:
        super().__init__(config)
        self.waiting = waiting
        self.mail = mail
        self.smtp_port = smtp_port

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        # Unlike uvicorn's own, this doesn't note the signal to raise it again after the stop.
        self.should_exit = True

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        # Before HTTP: whoever sees the process healthy may send mail.
        if self.smtp_port is not None:
            await self.mail.listen(self.config.host, self.smtp_port)
        await super().startup(sockets)

    async def main_loop(self) -> None:
        await super().main_loop()
        self.waiting.end()
        await self.mail.stop()


def main() -> None:
    parser = argparse.ArgumentParser(prog="sandbox", description="Stand-ins of the outside systems.")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--smtp-port", type=int, help="where mail is taken; none is when absent")
    parser.add_argument("--ledger", type=Path, required=True, help="the SQLite file; made when absent, kept when not")
    parser.add_argument("--carrier-webhooks-to", metavar="URL", help=f"where they are sent; signed with ${SECRET}")
    arguments = parser.parse_args()
    faults, waiting = Faults(), Waiting()
    with closing(Ledger(arguments.ledger)) as ledger:
        config = uvicorn.Config(
            build_app(ledger, faults, waiting, _carrier_webhooks(ledger, waiting, arguments.carrier_webhooks_to)),
            host=arguments.host,
            port=arguments.port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            access_log=False,
            log_level="warning",
            server_header=False,
            timeout_keep_alive=IDLE_CONNECTION_S,
            timeout_graceful_shutdown=5,
        )
        SandboxServer(config, waiting, MailServer(ledger, faults, waiting), arguments.smtp_port).run()


def _carrier_webhooks(ledger: Ledger, waiting: Waiting, url: str | None) -> CarrierWebhooks | None:
    """Unsigned ones would be turned away: without a secret there are none."""
    secret = os.environ.get(SECRET)
    return CarrierWebhooks(ledger, waiting, url, secret) if url and secret else None


if __name__ == "__main__":
    main()
