"""A program that connects to GKE clusters and asks each for its Jobs: `gke_client.py API CALLS CLUSTER…`.

google-auth reads where the metadata server is when it is imported, so each world needs a process of its own.
Prints one JSON array per cluster: what came of connecting and of each call.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

from flinkjobs.adapters.kubernetes import auth
from flinkjobs.adapters.kubernetes import client as kubernetes_client
from flinkjobs.domain.errors import FlinkjobsError


def outcome(call: Callable[[], object]) -> str:
    """`ok`, or the error's name and message."""
    try:
        call()
    except FlinkjobsError as error:
        return f"{type(error).__name__}: {error}"
    return "ok"


def main(container_api: str, calls: str, *clusters: str) -> None:
    """See above."""
    for cluster in clusters:
        outcomes = []
        try:
            found = auth.gke(cluster, container_api=container_api)
        except FlinkjobsError as error:
            outcomes.append(f"{type(error).__name__}: {error}")
        else:
            api = kubernetes_client.client(found, "lemo-dev", read_timeout_seconds=10)
            outcomes += ["ok"] + [outcome(api.ping) for _ in range(int(calls))]
        print(json.dumps(outcomes))  # noqa: T201 - the program's answer


if __name__ == "__main__":
    main(*sys.argv[1:])
