"""HTTP entry point of cleanup: deletes the Kubernetes Jobs whose work is done and whose record is settled."""

import gc

import flask
import functions_framework

from flinkjobs.entrypoints.cleanup import CleanupFunction
from flinkjobs.entrypoints.startup import started
from flinkjobs.web.server import serve

FUNCTION = started(CleanupFunction)
gc.freeze()  # what was imported stays: no collection looks through it


@functions_framework.http
def cleanup(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
