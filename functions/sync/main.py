"""HTTP entry point of sync: one synchronisation pass over every open record."""

import flask
import functions_framework

from flinkjobs.entrypoints import clients
from flinkjobs.web import server

FUNCTION = clients.SyncFunction(clients.settings_or_exit(["FLINK_REST_URL"]))


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return server.serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
