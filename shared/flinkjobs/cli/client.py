"""Calls the functions: over HTTP if their URL is set, else in this process.

Both ways run the same code and answer the same JSON: without a URL, the function's own handler gets the
request that would have been sent.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from flinkjobs.domain.errors import NoFunctionError, SettingsError, UnauthorizedError
from flinkjobs.entrypoints.function import connect_function
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.jobs import service as jobs
from flinkjobs.ports.functions import RemoteFunction
from flinkjobs.settings.client import ClientSettings, read_client_settings
from flinkjobs.settings.functions import REQUIRED, Settings, read_settings
from flinkjobs.settings.schedules import ScheduleSettings, read_schedule_settings
from flinkjobs.submit.webhook_signature import sign
from flinkjobs.web.messages import Handler, Request, to_json

Document = dict[str, Any]


class Connection:
    """One system, by its settings. Nothing is read, built or sent before it is needed."""

    def __init__(self, environ: Mapping[str, str], *, is_direct: bool = False) -> None:
        """Args:
        environ: the settings, see `flinkjobs.cli.config`.
        is_direct: leave the URLs of the functions alone and work in this process.
        """
        self.environ = environ
        self._is_direct = is_direct
        self._functions: dict[str, Mapping[str, Handler]] = {}
        self._remotes: dict[str, RemoteFunction] = {}

    @cached_property
    def client(self) -> ClientSettings:
        """URLs of the functions."""
        return read_client_settings(self.environ)

    @cached_property
    def schedule_settings(self) -> ScheduleSettings:
        """Location and configuration of the schedules."""
        return read_schedule_settings(self.environ)

    def settings(self, *required: str) -> Settings:
        """The settings of the functions themselves.

        Raises:
            SettingsError: one is missing or wrong.
        """
        return read_settings(self.environ, required=required)

    def url_of(self, function: str) -> str | None:
        """URL of a function; None if it runs in this process."""
        return None if self._is_direct else self.client.urls.get(function)

    def expect(self, function: str) -> None:
        """Checks that a function can be reached in one of the two ways, as far as the settings show.

        Raises:
            SettingsError: there is no URL, and what it needs to run here is missing too.
        """
        if self.url_of(function) is None:
            self._direct_settings(function)

    def close(self) -> None:
        """Closes the connections to the functions."""
        for remote in self._remotes.values():
            remote.close()

    # --- the functions ------------------------------------------------------------------------------

    def submit(self, body: Mapping[str, Any], *, key: str) -> Document:
        """Submits a job. The same body with the same key again is safe: it gets the first answer.

        Args:
            body: of the request.
            key: makes it a repetition of another; the signature covers it where one is demanded.
        """
        text = json.dumps(body)
        return self._post("submit", text, headers=self._proof(text, key))

    def _proof(self, text: str, key: str) -> dict[str, str]:
        secrets = self.client.webhook_secrets
        if not secrets:
            return {"Idempotency-Key": key}
        return sign(text, message_id=key, secret=secrets[0], now=utc_now())

    def adopt(self, body: Mapping[str, Any]) -> Document:
        """Makes a record for a running Flink job that has none; a repetition gets the same answer."""
        text = json.dumps(body)
        return self._post("submit", text, path="/jobs/adopt", headers=self._proof(text, str(uuid.uuid4())))

    def act(self, any_id: str, kind: str, body: Mapping[str, Any], *, key: str) -> Document:
        """Requests an action on a job, or to run it again; where a signature is demanded, it covers which."""
        named = {"job_id": any_id, "kind": kind} if self.client.webhook_secrets else {}
        text = json.dumps({**body, **named})
        path = f"/jobs/{quote(any_id, safe='')}/{kind}"
        if self.url_of("submit"):
            return self._http(
                "submit",
                "POST",
                path,
                expected_member="run_of" if kind == "run-again" else "action",
                headers=self._proof(text, key),
                body=text,
            )
        return self._post(
            "submit",
            text,
            path=f"/jobs/<id>/{kind}",
            headers=self._proof(text, key),
            placeholders={"id": any_id},
        )

    def sync(self, job_ids: Sequence[str] | None = None) -> Document:
        """Runs one pass, over everything or over these records; its report."""
        return self._post("sync", json.dumps({} if job_ids is None else {"job_ids": list(job_ids)}))

    def cleanup(self, *, dry_run: bool) -> Document:
        """Runs one cleanup; its report."""
        return self._post("cleanup", json.dumps({"dry_run": dry_run}))

    def list_jobs(self, query: Mapping[str, str]) -> Document:
        """One page of records, newest first; `query` as in `GET /api/jobs`."""
        if self.url_of("jobs"):
            return self._http("jobs", "GET", "/api/jobs", expected_member="next_cursor", query=query)
        return _as_json(jobs.list_jobs(self._read_side, list(query.items())))

    def list_unmanaged(self, query: Mapping[str, str]) -> Document:
        """One page of the Flink jobs without a record; `query` as in `GET /api/flink-jobs`."""
        asked = {"unmanaged": "true", **query}
        if self.url_of("jobs"):
            return self._http("jobs", "GET", "/api/flink-jobs", expected_member="flink_jobs", query=asked)
        return _as_json(jobs.list_unmanaged(self._read_side, list(asked.items())))

    def audit(self, query: Mapping[str, str]) -> Document:
        """One page of the audit; `query` as in `GET /api/audit`."""
        if self.url_of("jobs"):
            return self._http("jobs", "GET", "/api/audit", expected_member="entries", query=query)
        return _as_json(jobs.audit(self._read_side, list(query.items())))

    def show(self, any_id: str) -> Document:
        """Everything about one job, by any of its ids.

        Raises:
            NotFoundError: there is none.
        """
        if self.url_of("jobs"):
            return self._http(
                "jobs", "GET", f"/api/jobs/{quote(any_id, safe='')}", expected_member="timeline"
            )
        return _as_json(jobs.show(self._read_side, any_id))

    def metrics(self) -> Document:
        """The statistics, and the current problems."""
        if self.url_of("jobs"):
            return self._http("jobs", "GET", "/api/metrics", expected_member="windows")
        return _as_json(jobs.metrics(self._read_side))

    def sync_one(self, job_id: str) -> Document | None:
        """Synchronises one record; None if sync cannot be called.

        The sync function, in whichever place it is, else what the page's own button asks for: that also where
        sync is closed to callers outside its network.
        """
        if (
            self.url_of("sync")
            or self._has("MONGODB_URI", "FLINK_REST_URL")
            or self._has("MONGODB_URI", "FLINK_CLUSTERS")
        ):
            try:
                return self.sync([job_id])
            except (NoFunctionError, UnauthorizedError):
                if not (self.url_of("sync") and self.url_of("jobs")):
                    raise
        if self.url_of("jobs"):
            path = f"/api/jobs/{quote(job_id, safe='')}/sync"
            return self._http(
                "jobs",
                "POST",
                path,
                expected_member=_EXPECTED_MEMBER["sync"],
                headers={"X-Flinkjobs": "1"},
                body="{}",
            )
        return None

    def _has(self, *names: str) -> bool:
        return all(self.environ.get(name, "").strip() for name in names)

    # --- the two ways -------------------------------------------------------------------------------

    def _post(
        self,
        function: str,
        text: str,
        *,
        path: str = "/",
        headers: Mapping[str, str] | None = None,
        placeholders: Mapping[str, str] | None = None,
    ) -> Document:
        if self.url_of(function):
            return self._http(
                function, "POST", path, expected_member=_EXPECTED_MEMBER[function], headers=headers, body=text
            )
        sent = {name.lower(): value for name, value in (headers or {}).items()}
        request = Request(
            headers={"content-type": "application/json", **sent},
            query={},
            body=text.encode(),
            path=placeholders or {},
        )
        return _as_json(self._handlers(function)[path](request).body)

    def _http(
        self,
        function: str,
        method: str,
        path: str,
        *,
        expected_member: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Document:
        """The answer of a deployed function; see `RemoteFunction.call`."""
        url = self.url_of(function)
        assert url is not None  # noqa: S101 a caller's mistake
        if url not in self._remotes:
            self._remotes[url] = connect_function(url, self.client)
        return self._remotes[url].call(
            method, path, query=query or {}, headers=headers or {}, body=body, expected_member=expected_member
        )

    def _handlers(self, function: str) -> Mapping[str, Handler]:
        """What a function that runs in this process does with a POST, by path."""
        if function not in self._functions:
            self._functions[function] = _build(function, self._direct_settings(function))
        return self._functions[function]

    @cached_property
    def _read_side(self) -> jobs.Jobs:
        from flinkjobs.entrypoints.jobs import build_jobs

        return build_jobs(self._direct_settings("jobs"))

    def _direct_settings(self, function: str) -> Settings:
        """What a function needs to run here.

        Raises:
            SettingsError: a setting is missing; the message names the other way too.
        """
        try:
            return self.settings(*REQUIRED[function])
        except SettingsError as error:
            if self._is_direct or "is required and not set" not in str(error):
                raise
            raise SettingsError(
                f"{function.upper()}_URL, the address of the deployed function, is not set; to work from "
                f"here without it, {error}"
            ) from None


_EXPECTED_MEMBER: Final[Mapping[str, str]] = {"submit": "job_id", "sync": "clusters", "cleanup": "dry_run"}
"""A member of the answer to a function's work that no other function's answer has, nor a proxy's."""


def _build(function: str, settings: Settings) -> Mapping[str, Handler]:
    """The function itself, with its libraries, for this process: its handlers of POST, by path."""
    match function:
        case "submit":
            from flinkjobs.entrypoints.submit import SubmitFunction

            return {route.path: route.handler for route in SubmitFunction(settings).routes}
        case "sync":
            from flinkjobs.entrypoints.sync import SyncFunction

            return {"/": SyncFunction(settings).post}
        case _:
            from flinkjobs.entrypoints.cleanup import CleanupFunction

            return {"/": CleanupFunction(settings).post}


def _as_json(answer: Mapping[str, Any]) -> Document:
    """The answer as it would have travelled."""
    read: Document = json.loads(to_json(answer))
    return read
