"""HTTP entry point of sync: one synchronisation pass over every open record."""

import gc

import flask
import functions_framework

from flinkjobs.entrypoints.startup import channels_or_exit, settings_or_exit
from flinkjobs.entrypoints.sync import SyncFunction
from flinkjobs.web.server import serve

SETTINGS = settings_or_exit(["FLINK_REST_URL"])
FUNCTION = SyncFunction(SETTINGS, channels_or_exit(SETTINGS))
gc.freeze()  # what was imported stays: no collection looks through it


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
