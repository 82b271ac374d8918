"""The clients that several functions share: MongoDB and Kubernetes."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from flinkjobs import log
from flinkjobs.adapters.mongo import client as mongo_client
from flinkjobs.adapters.mongo.indexes import ensure_indexes
from flinkjobs.domain.errors import FlinkjobsError, PermanentError, SettingsError, TemporaryError
from flinkjobs.entrypoints.startup import utc_now
from flinkjobs.settings.functions import Settings

if TYPE_CHECKING:
    from flinkjobs.adapters.kubernetes.client import KubernetesApi


def connect_database(settings: Settings, *, cold_until: float = -math.inf) -> mongo_client.MongoDatabase:
    """The database, with the indexes that the records need.

    Args:
        settings: where it is.
        cold_until: the network of this process may come as late as this moment of `time.monotonic`.

    Raises:
        StoreUnavailableError: MongoDB does not answer; the next request tries again with a new client.
    """
    database = mongo_client.connect(settings.mongodb_uri, settings.mongodb_database)
    began = time.monotonic()
    try:
        if cold_until > began:
            mongo_client.await_server(database, seconds=cold_until - began)
            log.info("cold_start.connected", peer="MongoDB", seconds=round(time.monotonic() - began, 3))
        ensure_indexes(database)
    except TemporaryError:
        database.client.close()
        raise
    except PermanentError as error:
        # A user who may not create indexes can still work; the operator of the database sees the line.
        log.warning("indexes.not_ensured", code=error.code, detail=str(error))
    return database


def connect_kubernetes(settings: Settings, **timeouts: float) -> KubernetesApi:
    """Kubernetes, with the identity of the settings. Sends nothing."""
    # Most passes and most page views need no Kubernetes, and its client takes as long to import as all else.
    from flinkjobs.adapters.kubernetes import client as kubernetes_client  # noqa: PLC0415

    return kubernetes_client.connect(
        settings.k8s_namespace,
        auth=settings.k8s_auth,
        kubeconfig=settings.kubeconfig,
        gke_cluster=settings.gke_cluster,
        in_cluster="KUBERNETES_SERVICE_HOST" in os.environ,
        **timeouts,
    )


def connect_database_and_kubernetes(
    settings: Settings, *, cold_until: float
) -> tuple[mongo_client.MongoDatabase, KubernetesApi]:
    """Connects both, MongoDB first, which waits for the network; closes both if one fails."""
    database = connect_database(settings, cold_until=cold_until)
    try:
        return database, connect_kubernetes(settings)
    except FlinkjobsError:
        database.client.close()
        raise


def sync_caller(url: str, *, timeout_seconds: float) -> Callable[[Sequence[str]], Mapping[str, Any]]:
    """Calls the sync function at this address for some records, with Google's identity where there is one."""

    def sync(job_ids: Sequence[str]) -> Mapping[str, Any]:
        body = json.dumps({"job_ids": list(job_ids)})
        return _post(url, "/", body, {}, expected_member="clusters", timeout_seconds=timeout_seconds)

    return sync


def ask_submit(
    url: str, secrets: Sequence[str], body: Mapping[str, Any], key: str, *, timeout_seconds: float
) -> Mapping[str, Any]:
    """Asks the submit function at this address for the action that the body names.

    Args:
        url: of submit.
        secrets: the first one signs the request; none where it is not signed.
        body: with `job_id` and `kind`.
        key: makes it a repetition of another request.
        timeout_seconds: how long an answer may take.
    """
    # Of the functions that share this module, most sign nothing.
    from flinkjobs.submit.webhook_signature import sign  # noqa: PLC0415

    text = json.dumps(body)
    proof = {"Idempotency-Key": key}
    if secrets:
        proof = sign(text, message_id=key, secret=secrets[0], now=utc_now())
    path = f"/jobs/{quote(body['job_id'], safe='', errors='replace')}/{body['kind']}"
    return _post(url, path, text, proof, expected_member="job_id", timeout_seconds=timeout_seconds)


def _post(
    url: str,
    path: str,
    body: str,
    headers: Mapping[str, str],
    *,
    expected_member: str,
    timeout_seconds: float,
) -> Mapping[str, Any]:
    """The answer of a function, which is called with Google's identity where there is one."""
    # Of the functions that share this module, most call no other.
    from flinkjobs.adapters import function_client  # noqa: PLC0415

    identity: str | None = None
    if url.startswith("https://"):
        try:
            identity = function_client.google_identity(url)
        except SettingsError as error:  # there is none here: the function may need none
            log.warning("sync_now.no_identity", detail=str(error))
    bearer = None if identity is None else partial(str, identity)
    with function_client.new_client(read_timeout_seconds=timeout_seconds) as client:
        function = function_client.HttpFunction(url, bearer=bearer, client=client)
        return function.call(
            "POST", path, query={}, headers=headers, body=body, expected_member=expected_member
        )
