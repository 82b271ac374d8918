"""HTTP entry point of jobs: the page, the records as JSON, the statistics. Read only."""

import gc

import flask
import functions_framework

from flinkjobs.entrypoints.jobs import JobsFunction
from flinkjobs.entrypoints.startup import started
from flinkjobs.web.server import serve_routes

FUNCTION = started(JobsFunction)
gc.freeze()  # what was imported stays: no collection looks through it


@functions_framework.http
def jobs(request: flask.Request) -> flask.Response:
    """Answers the paths of `FUNCTION.routes`, `GET /health` and `GET /ready`."""
    return serve_routes(
        request, FUNCTION.routes, ready=FUNCTION.ready, headers=FUNCTION.headers, origins=FUNCTION.origins
    )
