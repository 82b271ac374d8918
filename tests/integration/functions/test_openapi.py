"""The published description and the functions agree: what it promises is what they do."""

from __future__ import annotations

import copy
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import jsonschema_rs
import pytest
import requests
import schemathesis
import yaml
from hypothesis import HealthCheck, Phase, assume, given
from hypothesis import settings as examples
from schemathesis import Case, GenerationMode
from schemathesis.checks import CHECKS, load_all_checks
from schemathesis.core.failures import FailureGroup
from schemathesis.core.result import Ok
from schemathesis.schemas import APIOperation

from flinkjobs.domain.flink_options import FORBIDDEN_CONF
from flinkjobs.domain.labels import RESERVED_KEYS
from flinkjobs.submit.actions import CancelRequest, SavepointRequest, StopRequest
from flinkjobs.submit.adoption import Adoption
from flinkjobs.submit.request import _Body
from flinkjobs.submit.run_again import RunAgainRequest
from local.functions import FunctionServer
from tests.integration.functions.conftest import World
from tests.support.records import Document

DESCRIPTION = Path(__file__).parents[3] / "docs" / "reference" / "openapi.yaml"
WHOLE: Document = yaml.safe_load(DESCRIPTION.read_text())
FUNCTIONS = ("submit", "sync", "cleanup")
ACTIONS = [f"POST /submit/jobs/{{id}}/{kind}" for kind in ("cancel", "stop", "savepoint", "run-again")]
POSTS = [*(f"POST /{function}" for function in FUNCTIONS), "POST /submit/jobs/adopt", *ACTIONS]
PROBES = [f"GET /{function}/{probe}" for function in (*FUNCTIONS, "jobs") for probe in ("health", "ready")]
READS = {
    "GET /jobs": {200},
    "GET /jobs/assets/{name}": {200, 404},
    "GET /jobs/api/jobs": {200, 400},
    "GET /jobs/api/flink-jobs": {200},
    "GET /jobs/api/audit": {200, 400},
    "GET /jobs/api/jobs/{id}": {404},
    "POST /jobs/api/jobs/{id}/sync": {404},
    "POST /jobs/api/sync": {200},
    "GET /jobs/api/metrics": {200},
    "GET /jobs/metrics": {200},
}
"""Statuses that a request may get which is as described: 400 for a wrong pair of times or cursor, 404 for an
unknown name."""
ACTION_MODELS = {
    "CancelAction": CancelRequest,
    "StopAction": StopRequest,
    "SavepointAction": SavepointRequest,
    "RunAgain": RunAgainRequest,
}
HOST = "scripts.example.org"
FRAMING = {"connection", "content-length", "expect", "host", "transfer-encoding", "upgrade"}
"""Headers that say how a request is read; a generated one may have any name."""

load_all_checks()
PROMISES: list[Any] = CHECKS.get_by_names(
    [
        "not_a_server_error",
        "status_code_conformance",
        "content_type_conformance",
        "response_headers_conformance",
        "response_schema_conformance",
        "negative_data_rejection",
    ]
)


# --- what it promises is what they do ---------------------------------------------------------------


def as_deployed() -> Document:
    """The description, with what only a deployment's settings can say: clusters, and hosts of scripts."""
    document = copy.deepcopy(WHOLE)
    schemas = document["components"]["schemas"]
    schemas["Submission"]["properties"]["cluster"]["enum"] = ["default", "batch"]
    schemas["Script"]["properties"]["url"]["pattern"] = rf"^https://{HOST.replace('.', '[.]')}/[!-~]*$"
    for name in ACTION_MODELS:  # which job the path names, no schema can say
        for field in ("job_id", "kind"):
            del schemas[name]["properties"][field]
    for path in ("/jobs/api/jobs", "/jobs/api/flink-jobs"):
        for parameter in document["paths"][path]["get"]["parameters"]:
            if parameter["name"] == "cursor":  # only an earlier answer could say another
                parameter["schema"] = {"const": ""}
    return document


DEPLOYED = as_deployed()


def operation(label: str) -> APIOperation[Any, Any, Any, Any]:
    """One operation, its path as a function's own address has it."""
    method, path = label.split()
    function = path.split("/")[1]
    item = {
        path.removeprefix(f"/{function}") or "/": {method.lower(): DEPLOYED["paths"][path][method.lower()]}
    }
    return only_operation({**DEPLOYED, "paths": item})


def only_operation(document: Document) -> APIOperation[Any, Any, Any, Any]:
    refusals = {"checks": {"negative_data_rejection": {"expected-statuses": ["4xx"]}}}
    config = schemathesis.Config.from_dict(refusals)
    [found] = schemathesis.openapi.from_dict(document, config=config).get_all_operations()
    assert isinstance(found, Ok)
    return found.ok()


@pytest.fixture(scope="module")
def servers(
    settings: Mapping[str, str], sync: FunctionServer, cleanup: FunctionServer, jobs: FunctionServer
) -> Iterator[Mapping[str, str]]:
    """The address of each function, by its name."""
    with FunctionServer("submit", {**settings, "ALLOWED_SCRIPT_HOSTS": HOST}) as submit:
        yield {server.name: server.url for server in (submit, sync, cleanup, jobs)}


def send(case: Case[Any], url: str, session: requests.Session) -> schemathesis.Response:
    """Sends a generated request, and holds the answer to the description."""
    body = case.body
    written = body.get("parallelism") if isinstance(body, dict) else None
    if isinstance(body, dict) and isinstance(written, float) and written.is_integer():
        case.body = body | {"parallelism": int(written)}  # JSON Schema cannot say: without a decimal point
    response = case.call(base_url=url, session=session, timeout=60)
    case.validate_response(response, checks=PROMISES)
    return response


def ask(
    label: str, mode: GenerationMode, servers: Mapping[str, str], *, count: int, allowed: Collection[int]
) -> dict[int, int]:
    """Sends `count` generated requests; returns how many got which of the allowed statuses."""
    url = servers[label.split("/")[1]]
    statuses: dict[int, int] = {}

    @examples(
        max_examples=count,
        derandomize=True,
        deadline=None,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=operation(label).as_strategy(mode))
    def run(case: Case[Any]) -> None:
        assume(not isinstance(case.body, bytes) or case.body.strip())  # blanks alone are an empty body
        # functions-framework has no route for a path with a line break, and answers with a page of its own
        assume(not any("\n" in unquote(str(value)) for value in (case.path_parameters or {}).values()))
        # the server beneath answers with a page of its own too
        assume(not FRAMING & {name.lower() for name in case.headers or {}})
        answer = send(case, url, session)
        assert answer.status_code in allowed, f"{answer.text}\n{case.as_curl_command()}"
        statuses[answer.status_code] = statuses.get(answer.status_code, 0) + 1

    with requests.Session() as session:
        session.trust_env = False
        run()
    return statuses


@pytest.mark.parametrize("label", POSTS)
def test_a_request_that_the_description_allows_is_not_faulty(
    label: str, servers: Mapping[str, str], world: World
) -> None:
    # 404: there is no such template; 409 and 422: the same key came twice, with the same or another request
    adopting = {404}  # no pass has seen a job, and no record has a name, with an id that was generated
    named = dict.fromkeys(("POST /submit/jobs/adopt", *ACTIONS), adopting)
    allowed = {"POST /submit": {200, 202, 404, 409, 422}, **named}.get(label, {200})
    statuses = ask(label, GenerationMode.POSITIVE, servers, count=60, allowed=allowed)
    assert allowed == adopting or statuses.get(200, 0) + statuses.get(202, 0) >= 1
    assert world.jobs.count_documents({}) == statuses.get(202, 0)


def test_the_sources_of_a_script_that_are_left_out_may_be_null() -> None:
    """As a client may send them that is generated from the description."""
    schema = {**WHOLE["components"]["schemas"]["Script"], "components": WHOLE["components"]}
    for script in ({"inline": "pass", "path": None}, {"path": "/a.py", "inline": None, "url": None}):
        jsonschema_rs.validate(schema, script)


@pytest.mark.parametrize("label", POSTS)
def test_a_request_that_the_description_forbids_is_refused(
    label: str, servers: Mapping[str, str], world: World
) -> None:
    statuses = ask(label, GenerationMode.NEGATIVE, servers, count=100, allowed=range(200, 500))
    assert sum(count for status, count in statuses.items() if status >= 400) >= 50
    assert world.jobs.count_documents({}) == statuses.get(202, 0)


@pytest.mark.parametrize("label", READS)
def test_a_reader_gets_what_the_description_promises(
    label: str, servers: Mapping[str, str], world: World
) -> None:
    for number in range(3):
        world.add_record(f"etl_{number}", flink_job_id="0" * 31 + str(number), status="RUNNING")
    statuses = ask(label, GenerationMode.POSITIVE, servers, count=25, allowed=READS[label])
    assert 200 in statuses or 200 not in READS[label]


@pytest.mark.parametrize("label", ["GET /jobs/api/jobs", "POST /jobs/api/jobs/{id}/sync"])
def test_a_reader_who_asks_what_the_description_forbids_is_refused(
    label: str, servers: Mapping[str, str], world: World
) -> None:
    statuses = ask(label, GenerationMode.NEGATIVE, servers, count=60, allowed=range(200, 500))
    assert sum(count for status, count in statuses.items() if status >= 400) >= 30
    assert world.jobs.count_documents({}) == 0


@pytest.mark.parametrize("path", ["/api/jobs?limit=2", "/api/jobs/etl_1", "/api/metrics"])
def test_what_is_found_is_as_described(path: str, servers: Mapping[str, str], world: World) -> None:
    """Real records, which no generated name would find."""
    world.add_record("etl_1", k8s_job_name=world.create_job("etl_1"), spec={"args": []})
    world.add_record("etl_2", status="PAUSED")
    item = "/jobs" + path.partition("?")[0].replace("etl_1", "{id}")
    schema = WHOLE["paths"][item]["get"]["responses"]["200"]["content"]["application/json"]["schema"]
    answer = requests.get(servers["jobs"] + path, timeout=60).json()
    jsonschema_rs.validate({**schema, "components": WHOLE["components"]}, answer)


@pytest.mark.parametrize("label", PROBES)
def test_a_probe_answers_as_described(label: str, servers: Mapping[str, str], world: World) -> None:
    assert ask(label, GenerationMode.POSITIVE, servers, count=1, allowed={200}) == {200: 1}
    assert world.kubernetes.is_empty()


def test_the_check_sees_a_difference(servers: Mapping[str, str], world: World) -> None:
    """An answer that is not as described is a failure, and so is a refusal that is not expected."""
    deployed = copy.deepcopy(DEPLOYED)
    answers = deployed["paths"]["/sync/health"]["get"]["responses"]
    for change in ({"description": "", "content": {"application/json": {"schema": {"type": "array"}}}}, None):
        answers["200"] = change
        described = {code: answer for code, answer in answers.items() if answer} or {
            "201": {"description": ""}
        }
        item = {"/health": {"get": {"responses": described}}}
        case = only_operation({**deployed, "paths": item}).Case()
        response = case.call(base_url=servers["sync"])
        with pytest.raises(FailureGroup):
            case.validate_response(response, checks=PROMISES)
    assert world.kubernetes.is_empty()


# --- it is whole ------------------------------------------------------------------------------------

CONSTRAINTS = (
    "maxLength",
    "minLength",
    "pattern",
    "minimum",
    "maximum",
    "maxItems",
    "maxProperties",
    "required",
)


def constraints(schema: Any, root: Document) -> Any:
    """What a schema demands, by field, without its words."""
    if "$ref" in schema:
        target = root
        for name in schema["$ref"].removeprefix("#/").split("/"):
            target = target[name]
        return constraints(target, root)
    found = {name: schema[name] for name in CONSTRAINTS if name in schema}
    if "pattern" in found:
        found["pattern"] = found["pattern"].replace(r"\"", '"')  # the same character to a pattern
    for one in (entry for kind in ("anyOf", "oneOf") for entry in schema.get(kind, ())):
        found |= constraints(one, root) if one != {"type": "null"} and "properties" not in one else {}
    if "properties" in schema:
        found["properties"] = {name: constraints(one, root) for name, one in schema["properties"].items()}
    for name in ("items", "additionalProperties"):
        if isinstance(schema.get(name), dict):
            found[name] = constraints(schema[name], root)
    for one in schema.get("patternProperties", {}).values():  # pydantic's way to say what keys may be
        found["additionalProperties"] = constraints(one, root)
    return found


def test_the_described_limits_of_an_adoption_are_those_of_the_code() -> None:
    code = Adoption.model_json_schema()
    assert constraints(WHOLE["components"]["schemas"]["Adoption"], WHOLE) == constraints(code, code)


@pytest.mark.parametrize(("name", "model"), ACTION_MODELS.items())
def test_the_described_limits_of_an_action_are_those_of_the_code(
    name: str, model: type[CancelRequest]
) -> None:
    code = model.model_json_schema()
    assert constraints(WHOLE["components"]["schemas"][name], WHOLE) == constraints(code, code)


def test_the_described_limits_of_every_field_are_those_of_the_code() -> None:
    described = constraints(WHOLE["components"]["schemas"]["Submission"], WHOLE)
    code = _Body.model_json_schema()
    assert (
        described["properties"]["jars"].pop("maxItems") == 1
    )  # the code answers with a reason, so has no number
    assert described == constraints(code, code)


def test_the_described_options_that_are_refused_are_those_of_the_code() -> None:
    names = WHOLE["components"]["schemas"]["Submission"]["properties"]["flink_conf"]["propertyNames"]
    described = {one["not"]["pattern"] for one in names["allOf"] if "not" in one}
    assert described == {
        pattern.pattern.replace(r"(\$|internal\.)", r"internal\.") for pattern, _ in FORBIDDEN_CONF
    }


def test_the_described_label_keys_that_are_refused_are_those_of_the_code() -> None:
    names = WHOLE["components"]["schemas"]["Submission"]["properties"]["labels"]["propertyNames"]
    described = {one["not"]["pattern"] for one in names["allOf"] if "not" in one}
    assert described == {pattern.pattern for pattern, _ in RESERVED_KEYS}


def walk(node: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[str, Any, Any]]:
    """Every example next to a schema: where it stands, the schema, and the example."""
    if isinstance(node, dict):
        if "schema" in node and "example" in node:
            yield "/".join(path), node["schema"], node["example"]
        for name, example in node.get("examples", {}).items() if "schema" in node else ():
            yield "/".join((*path, name)), node["schema"], example["value"]
        for name, inner in node.items():
            yield from walk(inner, (*path, str(name)))


EXAMPLES = list(walk(WHOLE))


@pytest.mark.parametrize(
    ("schema", "example"), [entry[1:] for entry in EXAMPLES], ids=[e[0] for e in EXAMPLES]
)
def test_an_example_is_what_its_schema_describes(schema: Document, example: Any) -> None:
    jsonschema_rs.validate({**schema, "components": WHOLE["components"]}, example)


def test_every_answer_with_a_body_has_an_example_of_its_status() -> None:
    answers = [
        (int(status), answer)
        for item in WHOLE["paths"].values()
        for operation_ in item.values()
        for status, answer in operation_["responses"].items()
    ]
    shared = WHOLE["components"]["responses"]
    for status, answer in answers:
        name = answer.get("$ref", "").rpartition("/")[2]
        if status == 304:
            continue  # has no body
        [(kind, content)] = (shared[name] if name else answer)["content"].items()
        if kind.endswith("json"):
            assert content["example"].get("status", status) in (status, "ok", "ready", "CREATED", "RUNNING")
        else:
            assert content["example"]
    assert len(answers) > 30
