"""HTTP entry point of submit: accepts a Flink Python job as a record and a Kubernetes Job that runs it."""

import gc

import flask
import functions_framework

from flinkjobs.entrypoints.startup import started
from flinkjobs.entrypoints.submit import SubmitFunction
from flinkjobs.web.server import serve_routes

FUNCTION = started(SubmitFunction, ["FLINK_IMAGE", "FLINK_REST_URL"])
gc.freeze()  # what was imported stays: no collection looks through it


@functions_framework.http
def submit(request: flask.Request) -> flask.Response:
    """Answers the paths of `FUNCTION.routes`, `GET /health` and `GET /ready`."""
    return serve_routes(request, FUNCTION.routes, ready=FUNCTION.ready, origins=FUNCTION.origins)
