"""A slow road to the Kubernetes API, on which requests and answers take their time."""

from __future__ import annotations

import httpx

from local.kubernetes.process import KubernetesDouble
from tests.support.scripted_server import Answer, Asked, ScriptedServer


class SlowRoad(ScriptedServer):
    """Passes requests on to the double, each a while after it came; the answer takes another while.

    What has set out arrives, even if the client has gone meanwhile.
    """

    def __init__(self, double: KubernetesDouble) -> None:
        """Fast at first."""
        self.seconds = 0.0
        self._client = httpx.Client(base_url=double.url, trust_env=False)
        super().__init__(self._pass_on)

    def close(self) -> None:
        super().close()
        self._client.close()

    def _pass_on(self, asked: Asked) -> Answer:
        headers = {"Authorization": asked.headers["authorization"], "Content-Type": "application/json"}
        self.closing.wait(self.seconds)
        answer = self._client.request(asked.method, asked.path, content=asked.body, headers=headers)
        return Answer(answer.status_code, answer.content, delay_seconds=self.seconds)
