"""HTTP entry point of cleanup: deletes the Kubernetes Jobs whose work is done and whose record is safe."""

import flask
import functions_framework

from flinkjobs.entrypoints import clients
from flinkjobs.web import server

FUNCTION = clients.CleanupFunction(clients.settings_or_exit([]))


@functions_framework.http
def cleanup(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return server.serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
