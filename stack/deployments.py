"""Which version of the workers gets new workflows: Temporal's worker deployments, as operators handle them."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import TypeVar

from temporalio.api.deployment.v1 import RoutingConfig, WorkerDeploymentInfo
from temporalio.api.enums.v1 import WorkerDeploymentVersionStatus
from temporalio.api.workflowservice.v1 import (
    DescribeWorkerDeploymentRequest,
    SetWorkerDeploymentCurrentVersionRequest,
    SetWorkerDeploymentRampingVersionRequest,
)
from temporalio.client import Client
from temporalio.service import RPCError, RPCStatusCode

from payloads import data_converter
from settings import DeploymentSettings, PayloadSettings, TemporalSettings
from stack.errors import StackError

Result = TypeVar("Result")

CALL_TIMEOUT = timedelta(seconds=10)
# Workers that have just been started are known a moment later.
PATIENCE_S = 30.0
RETRY_EVERY_S = 0.2
STATUS = "WORKER_DEPLOYMENT_VERSION_STATUS_"


@dataclass(frozen=True)
class Version:
    """One version of the workers. `may_stop`: no workflow needs its workers any more."""

    build_id: str
    status: str
    share: float
    since: str | None

    @property
    def may_stop(self) -> bool:
        return self.status in ("drained", "inactive", "created")

    def as_json(self) -> dict[str, object]:
        return {**asdict(self), "may_stop": self.may_stop}


class Deployment:
    """The versions of the workers that there are, and which of them get what."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    async def promote(self, build_id: str) -> None:
        """Give new workflows, and those that move with the versions, to this version."""
        await self._once_known(build_id)
        await self._make_current(build_id)

    async def ramp(self, build_id: str, percentage: float) -> None:
        """Give it this share of them, in percent; 0 ends it."""
        await self._once_known(build_id)
        await self._ramp(build_id if percentage else "", percentage)

    async def rollback(self) -> str:
        """End the ramp, or else make current what was current before. Returns what was done, in words."""
        info = await self._info()
        ramping = info.routing_config.ramping_deployment_version.build_id
        if ramping:
            await self._ramp("", 0)
            return f"{ramping} gets nothing new any more"
        current = info.routing_config.current_deployment_version.build_id
        before = [
            found
            for found in info.version_summaries
            if found.deployment_version.build_id != current and found.HasField("last_current_time")
        ]
        if not before:
            raise StackError(
                "no other version was current before", remedy="name the one you want: `followthrough deploy promote`"
            )
        last = max(before, key=lambda found: found.last_current_time.ToDatetime()).deployment_version.build_id
        await self._make_current(last)
        return f"{last} is current again, as before {current}"

    async def versions(self) -> list[Version]:
        """All that Temporal still knows, the newest first."""
        info = await self._info()
        return [_version(found, info.routing_config) for found in info.version_summaries]

    async def _info(self) -> WorkerDeploymentInfo:
        request = DescribeWorkerDeploymentRequest(namespace=self._client.namespace, deployment_name=self._name)
        try:
            answer = await self._client.workflow_service.describe_worker_deployment(request, timeout=CALL_TIMEOUT)
        except RPCError as error:
            if error.status is not RPCStatusCode.NOT_FOUND:
                raise
            raise StackError(
                f"Temporal knows no version of {self._name}",
                remedy="start workers with FOLLOWTHROUGH_WORKER_VERSIONING=true",
            ) from error
        return answer.worker_deployment_info

    async def _once_known(self, build_id: str) -> None:
        known: list[str] = []
        for _ in range(int(PATIENCE_S / RETRY_EVERY_S)):
            try:
                known = [version.build_id for version in await self.versions()]
            except StackError:
                known = []
            if build_id in known:
                return
            await asyncio.sleep(RETRY_EVERY_S)
        raise StackError(
            f"Temporal knows no workers of {build_id}; it knows {', '.join(known) or 'none'}",
            remedy="start them first, with FOLLOWTHROUGH_WORKER_VERSIONING=true",
        )

    async def _make_current(self, build_id: str) -> None:
        await _until_possible(
            lambda: self._client.workflow_service.set_worker_deployment_current_version(
                SetWorkerDeploymentCurrentVersionRequest(
                    namespace=self._client.namespace, deployment_name=self._name, build_id=build_id
                ),
                timeout=CALL_TIMEOUT,
            )
        )

    async def _ramp(self, build_id: str, percentage: float) -> None:
        await _until_possible(
            lambda: self._client.workflow_service.set_worker_deployment_ramping_version(
                SetWorkerDeploymentRampingVersionRequest(
                    namespace=self._client.namespace,
                    deployment_name=self._name,
                    build_id=build_id,
                    percentage=percentage,
                ),
                timeout=CALL_TIMEOUT,
            )
        )


async def with_deployment(act: Callable[[Deployment], Awaitable[Result]]) -> Result:
    """Act on the deployment that the environment names."""
    temporal = TemporalSettings()
    try:
        client = await Client.connect(
            temporal.address, data_converter=data_converter(PayloadSettings().keys), **temporal.access
        )
        return await act(Deployment(client, DeploymentSettings().deployment_name))
    except (RPCError, RuntimeError) as error:
        raise StackError(
            f"Temporal at {temporal.address} refuses: {error}",
            remedy="check that it runs, TEMPORAL_ADDRESS and TEMPORAL_NAMESPACE",
        ) from error


async def _until_possible(change: Callable[[], Awaitable[object]]) -> None:
    """A version whose workers have just come does not poll all of its queues yet; until it does Temporal refuses."""
    clock = asyncio.get_running_loop().time
    until = clock() + PATIENCE_S
    while True:
        try:
            await change()
        except RPCError as error:
            if error.status is not RPCStatusCode.FAILED_PRECONDITION or clock() > until:
                raise
            await asyncio.sleep(RETRY_EVERY_S)
        else:
            return


def _version(found: WorkerDeploymentInfo.WorkerDeploymentVersionSummary, routing: RoutingConfig) -> Version:
    build_id = found.deployment_version.build_id
    ramped = routing.ramping_version_percentage if routing.ramping_deployment_version.build_id == build_id else 0.0
    is_current = routing.current_deployment_version.build_id == build_id
    since = found.routing_update_time.ToDatetime(UTC) if found.HasField("routing_update_time") else None
    return Version(
        build_id=build_id,
        status=WorkerDeploymentVersionStatus.Name(found.status).removeprefix(STATUS).lower(),
        share=100.0 - routing.ramping_version_percentage if is_current else ramped,
        since=_text(since),
    )


def _text(at: datetime | None) -> str | None:
    return at.isoformat(timespec="seconds") if at else None
