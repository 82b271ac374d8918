"""HTTP entry point of submit: accepts a Flink Python job: a record, and a Kubernetes Job that runs it."""

import flask
import functions_framework

from flinkjobs.entrypoints import clients
from flinkjobs.web import server

FUNCTION = clients.SubmitFunction(clients.settings_or_exit(["FLINK_IMAGE", "FLINK_REST_URL"]))


@functions_framework.http
def submit(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return server.serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
