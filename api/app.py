"""The API's application: `uvicorn --factory api.app:create_app`."""

import asyncio
import gc
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.telemetry import TelemetryConfig
from opentelemetry.trace import TracerProvider
from starlette.exceptions import HTTPException
from starlette.responses import Response

import stalls
import tracing
from api import (
    accounts,
    admin_orders,
    attention,
    bulk,
    catalogue,
    codec,
    confirm_page,
    console,
    console_all,
    console_attention,
    console_bulk,
    console_jobs,
    console_mails,
    console_orders,
    console_schedules,
    console_sign_in,
    console_webhooks,
    dead_letters,
    fraud,
    health,
    inbound,
    job_batches,
    job_watching,
    jobs,
    metrics,
    order_export,
    order_watching,
    orders,
    queues,
    reports,
    schedules,
    shop,
    shop_sign_in,
    static_files,
    webhook_endpoints,
)
from api.auth import TokenVerifier
from api.errors import MethodNotAllowed, problem_of
from api.keys import SigningKeys
from api.leaving import Leaving
from api.limits import RateLimiter
from api.middleware.gate import Gate
from api.middleware.requests import DOCS_PATH, PROBES, RequestMiddleware
from api.middleware.web_ui import WebUiAccess
from api.openapi import describe
from api.problem_pages import answer_to
from api.routing import methods_at
from api.services import open_services
from api.sessions import Sessions
from logs import configure_logging
from settings import ApiSettings, EventLoopSettings, SessionSettings

RESOURCES = (
    orders,
    order_export,
    order_watching,
    admin_orders,
    dead_letters,
    bulk,
    catalogue,
    fraud,
    accounts,
    confirm_page,
    inbound,
    webhook_endpoints,
    job_batches,
    jobs,
    reports,
    schedules,
    queues,
    attention,
    job_watching,
    codec,
    static_files,
    shop_sign_in,
    shop,
    console_sign_in,
    console,
    console_attention,
    console_all,
    console_bulk,
    console_mails,
    console_orders,
    console_jobs,
    console_webhooks,
    console_schedules,
    health,
)


def create_app() -> FastAPI:
    """The application, configured by the environment. It starts whether or not Postgres and Temporal do."""
    traces = tracing.begin("api")
    configure_logging("api", *traces.log_processors)
    settings = ApiSettings()
    leaving = Leaving(settings.api_drain_s)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        with metrics.served(settings.metrics_host, settings.api_metrics_port):
            async with open_services(settings, traces.interceptors) as services:
                app.state.services = services
                _keep_what_start_up_made()
                blocked = stalls.noticed(EventLoopSettings().blocked_after_s, metrics.event_loop_blocked)
                with blocked, leaving.heeded():
                    yield
        await asyncio.to_thread(traces.stop)

    app = FastAPI(
        title="Followthrough",
        version=version("followthrough"),
        lifespan=lifespan,
        docs_url=DOCS_PATH,
        redoc_url=None,
        telemetry=_spans(traces.provider),
        # Clients that are generated have a method of this name for each operation, and links name it.
        generate_unique_id_function=lambda route: route.name,
    )
    verifier = TokenVerifier(SigningKeys(settings.jwks_url), issuer=settings.jwt_issuer, audience=settings.jwt_audience)
    sessions = Sessions(SessionSettings().session_secret.get_secret_value())
    app.state.verifier, app.state.sessions, app.state.leaving = verifier, sessions, leaving
    limiter = RateLimiter(per_second=settings.rate_limit_per_second, burst=settings.rate_limit_burst)
    sign_ups = RateLimiter(per_second=settings.sign_ups_per_minute / 60, burst=settings.sign_ups_per_minute)
    # The last one added is the outermost.
    app.add_middleware(
        Gate,
        verifier=verifier,
        sessions=sessions,
        limiter=limiter,
        sign_ups=sign_ups,
        web_ui_origins=settings.web_ui_origins,
    )
    app.add_middleware(WebUiAccess, origins=settings.web_ui_origins)
    app.add_middleware(RequestMiddleware, leaving=leaving)
    # These two have handlers of FastAPI's own; all else that is raised reaches RequestMiddleware.
    app.add_exception_handler(HTTPException, _answer)
    app.add_exception_handler(RequestValidationError, _answer)
    for module in RESOURCES:
        app.include_router(module.router)

    def openapi() -> dict[str, Any]:
        app.openapi_schema = app.openapi_schema or describe(app)
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]
    return app


def _spans(provider: TracerProvider | None) -> TelemetryConfig:
    """FastAPI's own: a span for each request, where there are traces, and nothing else that it could do."""
    return {
        "tracing": provider is not None,
        "tracer_provider": provider,
        "exclude": lambda scope: scope["path"] in PROBES,
        "operation_spans": False,
        "metrics": False,
        "logs": False,
        "auto_configure": False,
    }


def _keep_what_start_up_made() -> None:
    """Spare the garbage collector what stays for good: looking through all of it stops every request for 0.1 s."""
    gc.collect()
    gc.freeze()


async def _answer(request: Request, error: Exception) -> Response:
    problem = problem_of(error)
    if isinstance(problem, MethodNotAllowed):
        problem.headers["Allow"] = ", ".join(methods_at(request.app.routes, request.scope["path"]))
    return answer_to(problem, request.scope)
