"""The Flink REST API over HTTP: a cluster's jobs and its History Server's."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from datetime import datetime
from typing import Final

import httpx

from flinkjobs import log
from flinkjobs.adapters.flink import rest_actions, rest_api
from flinkjobs.adapters.flink.connection import CONNECT_TIMEOUT_SECONDS, FlinkConnection, described
from flinkjobs.domain.actions import Refused, Reply, Result
from flinkjobs.domain.errors import FlinkNotReachedError, FlinkUnavailableError
from flinkjobs.domain.health_values import Checkpoints, CheckpointSettings
from flinkjobs.domain.observations import FlinkJob, Missing, Overview
from flinkjobs.domain.text import cut
from flinkjobs.settings.functions import FlinkCluster

CACHED_SECONDS: Final = 3.0
"""How old an answer about one job may be: Flink's default of `web.refresh-interval`."""

ANSWER_TIMEOUT_SECONDS: Final = 60.0
"""How long one answer may take in all, however steadily it trickles in."""

_JSON: Final = {"Content-Type": "application/json"}


class HttpFlink:
    """`flinkjobs.ports.store.Flink` for one cluster."""

    def __init__(
        self,
        cluster: FlinkCluster,
        connection: FlinkConnection,
        *,
        answer_timeout_seconds: float = ANSWER_TIMEOUT_SECONDS,
        until: float = math.inf,
        cold_until: float = -math.inf,
    ) -> None:
        """Sends nothing yet.

        Args:
            cluster: where it is.
            connection: to this cluster; it may be shared.
            answer_timeout_seconds: how long one answer may take in all.
            until: no request lasts beyond this moment of `time.monotonic`.
            cold_until: up to this moment of `time.monotonic` none of the timeouts ends a request.
        """
        self._cluster = cluster
        self._connection = connection
        self._answer_timeout_seconds = answer_timeout_seconds
        self._until = until
        self._cold_until = cold_until
        self._duplicates_logged = False  # once per pass: each pass has an instance of its own

    def until(self, moment: float) -> HttpFlink:
        return HttpFlink(
            self._cluster,
            self._connection,
            answer_timeout_seconds=self._answer_timeout_seconds,
            until=moment,
            cold_until=self._cold_until,
        )

    @property
    def name(self) -> str:
        return self._cluster.name

    @property
    def has_history(self) -> bool:
        return self._cluster.history_url is not None

    def overview(self) -> Overview:
        return self._overview_of(self._cluster.rest_url)

    def job(self, job_id: str) -> FlinkJob | Missing:
        status, body = self._get(self._cluster.rest_url, rest_api.job_path(job_id))
        return rest_api.parse_job(status, body, job_id)

    def failure(self, job_id: str) -> str | None:
        cause = self._failure_at(self._cluster.rest_url, job_id)
        if cause is None and self._until - time.monotonic() > CACHED_SECONDS:
            time.sleep(CACHED_SECONDS)  # an answer from just before the job failed may be cached
            cause = self._failure_at(self._cluster.rest_url, job_id)
        return cause

    def exceptions(self, job_id: str) -> tuple[str | None, Sequence[datetime]]:
        return rest_api.parse_failures(*self._get(self._cluster.rest_url, rest_api.exceptions_path(job_id)))

    def restarts(self, job_id: str) -> int | None:
        return rest_api.parse_restarts(*self._get(self._cluster.rest_url, rest_api.restarts_path(job_id)))

    def checkpoint_settings(self, job_id: str) -> CheckpointSettings | None:
        answer = self._get(self._cluster.rest_url, rest_api.checkpoint_settings_path(job_id))
        return rest_api.parse_checkpoint_settings(*answer)

    def checkpoints(self, job_id: str, now: datetime) -> Checkpoints:
        answer = self._get(self._cluster.rest_url, rest_api.checkpoints_path(job_id))
        return rest_api.parse_checkpoints(*answer, now)

    def cancel(self, job_id: str) -> Reply | Refused:
        path = rest_actions.cancel_path(job_id)
        return rest_actions.parse_request(*self._request("PATCH", self._cluster.rest_url, path))

    def stop(self, job_id: str, trigger_id: str, *, directory: str | None, drain: bool) -> Reply | Refused:
        body = rest_actions.stop_body(trigger_id, directory=directory, drain=drain)
        path = rest_actions.stop_path(job_id)
        return rest_actions.parse_request(*self._request("POST", self._cluster.rest_url, path, body))

    def savepoint(self, job_id: str, trigger_id: str, *, directory: str | None) -> Reply | Refused:
        body = rest_actions.savepoint_body(trigger_id, directory=directory)
        path = rest_actions.savepoints_path(job_id)
        return rest_actions.parse_request(*self._request("POST", self._cluster.rest_url, path, body))

    def savepoint_result(self, job_id: str, trigger_id: str) -> Result:
        path = rest_actions.result_path(job_id, trigger_id)
        return rest_actions.parse_result(*self._get(self._cluster.rest_url, path), trigger_id)

    def newer_savepoint(self, job_id: str, since: datetime) -> str | None:
        urls = [url for url in (self._cluster.rest_url, self._cluster.history_url) if url is not None]
        for url in urls:
            answer = self._get(url, rest_api.checkpoints_path(job_id))
            if (path := rest_actions.parse_newer(*answer, job_id, since)) is not None:
                return path
        return None

    def history(self) -> Overview:
        return self._overview_of(self._history_url())

    def history_failure(self, job_id: str) -> str | None:
        return self._failure_at(self._history_url(), job_id)

    def cluster_overview(self) -> tuple[str, int, int, int]:
        status, body = self._get(self._cluster.rest_url, rest_api.CLUSTER_OVERVIEW)
        return rest_api.parse_cluster_overview(status, body)

    def _history_url(self) -> str:
        if self._cluster.history_url is None:
            raise FlinkUnavailableError(f"cluster {self.name} has no History Server")
        return self._cluster.history_url

    def _overview_of(self, base_url: str) -> Overview:
        status, body = self._get(base_url, rest_api.JOBS_OVERVIEW)
        jobs = rest_api.parse_overview(status, body)
        if jobs.unreadable:
            log.warning("flink.unreadable_jobs", cluster=self.name, count=len(jobs.unreadable))
        if jobs.duplicates and not self._duplicates_logged:
            self._duplicates_logged = True
            log.warning("flink.duplicate_jobs", cluster=self.name, count=jobs.duplicates)
        return jobs

    def _failure_at(self, base_url: str, job_id: str) -> str | None:
        status, body = self._get(base_url, rest_api.exceptions_path(job_id))
        return rest_api.parse_exceptions(status, body)

    def _get(self, base_url: str, path: str) -> tuple[int, bytearray]:
        return self._request("GET", base_url, path)

    def _request(
        self, method: str, base_url: str, path: str, content: bytes | None = None
    ) -> tuple[int, bytearray]:
        began = time.monotonic()
        cold = self._cold_until - began
        left = min(self._until - began, max(self._answer_timeout_seconds, cold))
        if left <= 0:
            raise FlinkNotReachedError(f"cluster {self.name}: {method} {path}: there was no time left to ask")
        timeouts = {
            name: left if seconds is None else min(max(seconds, cold), left)
            for name, seconds in self._connection.timeout.as_dict().items()
        }
        body = bytearray()
        try:
            with self._connection.client().stream(
                method,
                base_url + path,
                headers={**({} if content is None else _JSON), **self._connection.authorization()},
                content=content,
                timeout=httpx.Timeout(**timeouts),
            ) as response:
                if response.next_request is not None:
                    raise FlinkUnavailableError(
                        f"cluster {self.name}: {method} {path}: answered {response.status_code}, a redirect "
                        f"to {cut(response.next_request.url.host, 80)}: a sign-in may stand before Flink"
                    )
                for part in response.iter_bytes():
                    body += part
                    if time.monotonic() > began + left:
                        raise httpx.ReadTimeout("the answer did not end in time")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            what = described(error)
            is_unsent = isinstance(error, httpx.ConnectError | httpx.ConnectTimeout | httpx.PoolTimeout)
            is_plain = type(what) is FlinkUnavailableError
            kind = FlinkNotReachedError if is_unsent and is_plain else type(what)
            raise kind(f"cluster {self.name}: {method} {path}: {what}") from error
        seconds = time.monotonic() - began
        if cold > 0 and seconds > CONNECT_TIMEOUT_SECONDS:
            log.info("cold_start.connected", peer=f"Flink cluster {self.name}", seconds=round(seconds, 3))
        return response.status_code, body
