"""HTTP entry point of cleanup: deletes the Kubernetes Jobs whose work is done and whose record is safe."""

import flask
import functions_framework

from flinkjobs import bootstrap, web

FUNCTION = bootstrap.CleanupFunction(bootstrap.settings_or_exit([]))


@functions_framework.http
def cleanup(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return web.serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
