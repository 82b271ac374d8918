"""HTTP entry point of sync: one synchronisation pass over every open record."""

import gc

import flask
import functions_framework

from flinkjobs.entrypoints.startup import started
from flinkjobs.entrypoints.sync import SyncFunction, channels_of
from flinkjobs.web.server import serve

FUNCTION = started(lambda settings: SyncFunction(settings, channels_of(settings)), ["FLINK_REST_URL"])
gc.freeze()  # what was imported stays: no collection looks through it


@functions_framework.http
def sync(request: flask.Request) -> flask.Response:
    """Answers `POST /`, `GET /health` and `GET /ready`."""
    return serve(request, post=FUNCTION.post, ready=FUNCTION.ready)
