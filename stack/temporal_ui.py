"""Temporal's Web UI."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from stack import web
from stack.environment import HOME_MARK
from stack.home import Home
from stack.ports import LOOPBACK
from stack.processes import ProcessId
from stack.supervisor import Service
from stack.temporal_build import Binaries

SOFT_MEMORY_LIMIT = "64MiB"
CODEC_VARIABLE = "FOLLOWTHROUGH_CODEC_URL"


@dataclass(frozen=True)
class TemporalUi:
    """The Web UI of one home, in front of any Temporal."""

    binaries: Binaries
    home: Home
    port: int
    temporal_address: str
    namespace: str
    codec_url: str | None = None

    @property
    def url(self) -> str:
        return f"http://{LOOPBACK}:{self.port}"

    def service(self, base_environment: Mapping[str, str]) -> Service:
        self._write_configuration(base_environment.get(CODEC_VARIABLE) or self.codec_url or "")
        return Service(
            name="temporal-ui",
            command=[
                str(self.binaries.ui_server),
                *("--root", str(self.home.temporal), "--config", "ui", "--env", "followthrough", "start"),
            ],
            environment={
                "GOMEMLIMIT": SOFT_MEMORY_LIMIT,
                **{name: base_environment[name] for name in ("HOME", "PATH", "TZ") if name in base_environment},
                HOME_MARK: str(self.home.path),
            },
            folder=self.home.temporal,
            probe=self.answers,
        )

    def _write_configuration(self, codec_url: str) -> None:
        folder = self.home.temporal / "ui"
        folder.mkdir(exist_ok=True)
        configuration = {
            "temporalGrpcAddress": self.temporal_address,
            "host": LOOPBACK,
            "port": self.port,
            "publicPath": "",
            "enableUi": True,
            "defaultNamespace": self.namespace,
            "disableNewsFetch": True,
            # It asks from the operator's browser, which has the session there.
            "codec": {"endpoint": codec_url, "includeCredentials": True},
            "cors": {"cookieInsecure": True, "allowOrigins": [self.url, f"http://localhost:{self.port}"]},
        }
        # JSON is YAML.
        (folder / "followthrough.yaml").write_text(json.dumps(configuration, indent=2))

    async def answers(self, _process: ProcessId) -> bool:
        return await web.is_ok(f"{self.url}/healthz")
