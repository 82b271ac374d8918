"""HTTP entry point of jobs, the read side: the page, the records as JSON, the figures. It changes nothing."""

import flask
import functions_framework

from flinkjobs.entrypoints import clients
from flinkjobs.web import server

FUNCTION = clients.JobsFunction(clients.settings_or_exit([]))


@functions_framework.http
def jobs(request: flask.Request) -> flask.Response:
    """Answers the paths of `FUNCTION.routes`, `GET /health` and `GET /ready`."""
    return server.serve_routes(request, FUNCTION.routes, ready=FUNCTION.ready, headers=FUNCTION.headers)
