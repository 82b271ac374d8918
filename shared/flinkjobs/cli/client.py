"""Calls the functions: over HTTP if their URL is set, else in this process.

Both ways run the same code and answer the same JSON: without a URL, the function's own handler gets the
request that would have been sent.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Any, Final
from urllib.parse import quote

from flinkjobs.domain.errors import NoFunctionError, SettingsError, UnauthorizedError
from flinkjobs.entrypoints.function import connect_function
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.ports.functions import RemoteFunction
from flinkjobs.settings.client import ClientSettings, read_client_settings
from flinkjobs.settings.functions import REQUIRED, Settings, read_settings
from flinkjobs.settings.schedules import ScheduleSettings, read_schedule_settings
from flinkjobs.submit.webhook_signature import sign
from flinkjobs.web.messages import Handler, Request, Route, to_json

Document = dict[str, Any]

LONGEST_PAGE: Final = "200"
"""Maximum number of entries that jobs answers with."""


class Connection:
    """One system, by its settings. Nothing is read, built or sent before it is needed."""

    def __init__(self, environ: Mapping[str, str], *, is_direct: bool = False) -> None:
        """Args:
        environ: the settings, see `flinkjobs.cli.config`.
        is_direct: leave the URLs of the functions alone and work in this process.
        """
        self.environ = environ
        self._is_direct = is_direct
        self._functions: dict[str, Mapping[tuple[str, str], Handler]] = {}
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
        return self._request("submit", "/", body, expected_member="job_id", key=key)

    def adopt(self, body: Mapping[str, Any]) -> Document:
        """Makes a record for a running Flink job that has none; a repetition gets the same answer."""
        return self._request("submit", "/jobs/adopt", body, expected_member="job_id", key=str(uuid.uuid4()))

    def act(self, any_id: str, kind: str, body: Mapping[str, Any], *, key: str) -> Document:
        """Requests an action on a job, or to run it again; where a signature is demanded, it covers which."""
        named = {"job_id": any_id, "kind": kind} if self.client.webhook_secrets else {}
        member = "run_of" if kind == "run-again" else "action"
        route = f"/jobs/<id>/{kind}"
        return self._request(
            "submit", route, {**body, **named}, expected_member=member, key=key, any_id=any_id
        )

    def sync(self, job_ids: Sequence[str] | None = None) -> Document:
        """Runs one pass, over everything or over these records; its report."""
        body = {} if job_ids is None else {"job_ids": list(job_ids)}
        return self._request("sync", "/", body, expected_member="clusters")

    def cleanup(self, *, dry_run: bool) -> Document:
        """Runs one cleanup; its report."""
        return self._request("cleanup", "/", {"dry_run": dry_run}, expected_member="dry_run")

    def list_jobs(self, query: Mapping[str, str]) -> Document:
        """One page of records, newest first; `query` as in `GET /api/jobs`."""
        return self._read("/api/jobs", expected_member="next_cursor", query=query)

    def every_job(self, query: Mapping[str, str]) -> Iterator[Document]:
        """The records of all pages, newest first; `query` as in `GET /api/jobs`."""
        return _of_all_pages(self.list_jobs, query, "jobs")

    def list_unmanaged(self, query: Mapping[str, str]) -> Document:
        """One page of the Flink jobs without a record; `query` as in `GET /api/flink-jobs`."""
        asked = {"unmanaged": "true", **query}
        return self._read("/api/flink-jobs", expected_member="flink_jobs", query=asked)

    def audit(self, query: Mapping[str, str]) -> Iterator[Document]:
        """The entries of all pages of the audit; `query` as in `GET /api/audit`."""

        def page(asked: Mapping[str, str]) -> Document:
            return self._read("/api/audit", expected_member="entries", query=asked)

        return _of_all_pages(page, query, "entries")

    def show(self, any_id: str) -> Document:
        """Everything about one job, by any of its ids.

        Raises:
            NotFoundError: there is none.
        """
        return self._read("/api/jobs/<id>", expected_member="timeline", any_id=any_id)

    def metrics(self) -> Document:
        """The statistics, and the current problems."""
        return self._read("/api/metrics", expected_member="windows")

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
            return self._request("jobs", "/api/jobs/<id>/sync", {}, expected_member="clusters", any_id=job_id)
        return None

    def _has(self, *names: str) -> bool:
        return all(self.environ.get(name, "").strip() for name in names)

    # --- the two ways -------------------------------------------------------------------------------

    def _read(
        self, route: str, *, expected_member: str, query: Mapping[str, str] | None = None, any_id: str = ""
    ) -> Document:
        """The answer of the jobs function to a GET."""
        return self._call(
            "jobs", "GET", route, expected_member=expected_member, query=query or {}, any_id=any_id
        )

    def _request(
        self,
        function: str,
        route: str,
        body: Mapping[str, Any],
        *,
        expected_member: str,
        key: str | None = None,
        any_id: str = "",
    ) -> Document:
        """The answer of a function to a POST; the key is sent with a proof where one is demanded."""
        text = json.dumps(body)
        headers = {"X-Flinkjobs": "1"} if function == "jobs" else {}
        if key is not None:
            headers |= self._proof(text, key)
        return self._call(
            function,
            "POST",
            route,
            expected_member=expected_member,
            headers=headers,
            body=text,
            any_id=any_id,
        )

    def _proof(self, text: str, key: str) -> dict[str, str]:
        secrets = self.client.webhook_secrets
        if not secrets:
            return {"Idempotency-Key": key}
        return sign(text, message_id=key, secret=secrets[0], now=utc_now())

    def _call(
        self,
        function: str,
        method: str,
        route: str,
        *,
        expected_member: str,
        any_id: str,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: str | None = None,
    ) -> Document:
        """The answer of a deployed function, or of its handler in this process.

        Args:
            function: its name.
            method: of the request, as are `query`, `headers` and `body`.
            route: its path, with `<id>` in the place of an id.
            expected_member: a member of the answer that no other function's answer has, nor a proxy's.
            any_id: for this place.
            query: parameters by name.
            headers: by name.
            body: JSON.
        """
        asked, sent = query or {}, headers or {}
        if (url := self.url_of(function)) is not None:
            if url not in self._remotes:
                self._remotes[url] = connect_function(url, self.client)
            path = route.replace("<id>", quote(any_id, safe=""))
            return self._remotes[url].call(
                method, path, query=asked, headers=sent, body=body, expected_member=expected_member
            )
        request = Request(
            headers={"content-type": "application/json", **{name.lower(): sent[name] for name in sent}},
            query=asked,
            body=(body or "").encode(),
            parameters=tuple(asked.items()),
            path={"id": any_id},
        )
        answer: Document = json.loads(to_json(self._handlers(function)[method, route](request).body))
        return answer

    def _handlers(self, function: str) -> Mapping[tuple[str, str], Handler]:
        """What a function that runs in this process does, by method and route."""
        if function not in self._functions:
            self._functions[function] = _build(function, self._direct_settings(function))
        return self._functions[function]

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


def _of_all_pages(
    ask: Callable[[Mapping[str, str]], Document], query: Mapping[str, str], member: str
) -> Iterator[Document]:
    """The entries of a list, page by page."""
    query = {**query, "limit": LONGEST_PAGE}
    while True:
        page = ask(query)
        yield from page[member]
        if page["next_cursor"] is None:
            return
        query = {**query, "cursor": page["next_cursor"]}


def _build(function: str, settings: Settings) -> Mapping[tuple[str, str], Handler]:
    """The function itself, with its libraries, for this process: its handlers, by method and route."""
    match function:
        case "submit":
            from flinkjobs.entrypoints.submit import SubmitFunction

            return _handlers_of(SubmitFunction(settings).routes)
        case "jobs":
            from flinkjobs.entrypoints.jobs import JobsFunction

            return _handlers_of(JobsFunction(settings).routes)
        case "sync":
            from flinkjobs.entrypoints.sync import SyncFunction

            return {("POST", "/"): SyncFunction(settings).post}
        case _:
            from flinkjobs.entrypoints.cleanup import CleanupFunction

            return {("POST", "/"): CleanupFunction(settings).post}


def _handlers_of(routes: Iterable[Route]) -> Mapping[tuple[str, str], Handler]:
    return {(route.method, route.path): route.handler for route in routes}
