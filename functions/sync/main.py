"""HTTP entry point of sync: one synchronisation pass over every open record."""

import flask
import functions_framework

from flinkjobs import bootstrap, web

FUNCTION = bootstrap.SyncFunction(bootstrap.settings_or_exit(["FLINK_REST_URL"]))


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return web.serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
