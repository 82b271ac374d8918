"""The empty function: what the framework and the interpreter cost by themselves."""

import flask
import functions_framework


@functions_framework.http
def empty(_request: flask.Request) -> flask.typing.ResponseReturnValue:
    """Answers every request at once."""
    return {"status": "ok"}
