"""What the code has is documented, and what is documented exists: settings, codes, addresses, links."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
import re
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml
from msgspec.structs import replace

import flinkjobs
from deploy import site
from flinkjobs.adapters.mongo.documents import _ref_document, conditional_update, new_document
from flinkjobs.adapters.mongo.notify_store import _writes
from flinkjobs.domain.cluster_moves import ClusterRecord
from flinkjobs.domain.errors import FlinkjobsError
from flinkjobs.domain.events import EventType
from flinkjobs.domain.flink_states import Status
from flinkjobs.domain.history import Writer
from flinkjobs.domain.records import DocumentId, FlinkJobRef, IdSource, JobRecord
from flinkjobs.domain.transition import Update
from flinkjobs.ports.notify_store import ChannelState, Pending, Progress, Sent
from flinkjobs.settings import functions as settings_functions
from flinkjobs.settings import notify as settings_notify
from flinkjobs.submit.idempotency import Key
from flinkjobs.submit.request import FIELDS
from flinkjobs.submit.stored_spec import stored_details
from flinkjobs.submit.submission import Submission
from tests.integration.docs import api_page, log_events, metrics_page

ROOT: Final = Path(__file__).resolve().parents[3]
PACKAGE: Final = ROOT / "shared" / "flinkjobs"
ARCHITECTURE: Final = ROOT / "docs" / "explanation" / "architecture.md"
REFERENCE: Final = ROOT / "docs" / "reference"
SETTINGS_PAGES: Final = sorted(REFERENCE.glob("settings*.md"))
PAGES: Final = sorted({*ROOT.glob("*.md"), *ROOT.glob("[!.]*/*.md"), *ROOT.glob("docs/**/*.md")})
LINK: Final = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
NAMED_FILE: Final = re.compile(r"`((?!build/)[\w.-]+(?:/[\w.-]+)+\.(?:py|js|css|json|yaml|toml|tf|svg|md))`")
CONSTANT: Final = re.compile(r'^([A-Z0-9_]+): Final = "([A-Z0-9_]+)"$', re.MULTILINE)
FIRST_CELL: Final = re.compile(r"^\| `([A-Za-z0-9_]+)` \|", re.MULTILINE)


def settings_tables() -> Iterator[tuple[Path, set[str]]]:
    for page in SETTINGS_PAGES:
        yield page, set(re.findall(r"^\| `([A-Z0-9_]+)` \|", page.read_text(), re.MULTILINE))


FIELDS_OF_A_CLUSTER = {field.name for field in msgspec.structs.fields(settings_functions._Described)}


@pytest.mark.parametrize("page", SETTINGS_PAGES, ids=lambda page: page.name)
def test_settings_page_names_every_field_of_a_cluster(page: Path) -> None:
    _, _, part = page.read_text().partition("`FLINK_CLUSTERS`")
    cells = re.findall(r"^\| (`[a-z_]+`(?:[、,] ?`[a-z_]+`)*) \|", part, re.MULTILINE)
    named = {name for cell in cells for name in re.findall(r"`([a-z_]+)`", cell)}
    assert named | {"rest_url"} == FIELDS_OF_A_CLUSTER


def settings_of_the_code() -> set[str]:
    """The settings' attributes carry the variables' names; `_clusters` reads what describes one cluster."""
    read_by_clusters = re.findall(
        r'read\.value\("([A-Z_]+)"', inspect.getsource(settings_functions._clusters)
    )
    assert "FLINK_REST_URL" in read_by_clusters
    return {field.name.upper() for field in dataclasses.fields(settings_functions.Settings)} | set(
        read_by_clusters
    )


def codes_of(heading: str) -> dict[str, str]:
    """The rows below a heading of codes.md: code and second column."""
    [part] = [
        part
        for part in (ROOT / "docs" / "reference" / "codes.md").read_text().split("\n## ")
        if part.startswith(heading)
    ]
    rows = re.findall(r"^\| `([A-Z0-9_]+)` \| ([^|]+) \|", part, re.MULTILINE)
    assert len(rows) == len(dict(rows))
    return dict(rows)


def errors_of_the_code() -> dict[str, int]:
    """Every error's code, and the HTTP status it becomes."""
    for module in pkgutil.walk_packages(flinkjobs.__path__, "flinkjobs."):
        if not module.name.endswith(".__main__"):
            importlib.import_module(module.name)
    found: dict[str, int] = {}
    left: list[type[FlinkjobsError]] = [FlinkjobsError]
    while left:
        error = left.pop()
        found[error.code] = error.http_status
        left.extend(error.__subclasses__())
    return found


def codes_of_reports() -> set[str]:
    """The codes that a pass or a run puts into its report, read off the source: NAME: Final = "NAME"."""
    found: set[str] = set()
    for room in ("domain", "observers", "sync", "cleanup"):
        for path in sorted((PACKAGE / room).glob("*.py")):
            found |= {name for name, value in CONSTANT.findall(path.read_text()) if name == value}
    return found


def fields_of(heading: str) -> set[str]:
    """The first cells of the table below a heading of the record's page."""
    [part] = re.findall(
        rf"^#+ {heading}\n(.*?)(?=^#|\Z)", (REFERENCE / "record.md").read_text(), re.MULTILINE | re.DOTALL
    )
    return set(FIRST_CELL.findall(part))


def test_every_page_of_settings_names_every_setting_and_no_other() -> None:
    expected = settings_of_the_code()
    assert len(expected) > 20
    assert len(SETTINGS_PAGES) == 2
    for page, named in settings_tables():
        assert named == expected, page.name


def default_text(value: object) -> str:
    """A value as it is written in the environment."""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


@pytest.mark.parametrize("page", SETTINGS_PAGES, ids=lambda page: page.name)
def test_settings_page_default_is_that_of_the_code(page: Path) -> None:
    """A default in backticks is a value; FLINK_UI_URL names another setting instead."""
    settings = settings_functions.read_settings({"MONGODB_URI": "mongodb://localhost"})
    shown = dict(re.findall(r"^\| `([A-Z0-9_]+)` \| `([^`]+)` \|", page.read_text(), re.MULTILINE))
    assert shown.pop("FLINK_UI_URL") == "FLINK_REST_URL"
    values = {name: getattr(settings, name.lower()) for name in shown}
    assert len(shown) > 10
    assert shown == {name: default_text(value) for name, value in values.items()}


def test_record_page_names_every_field_and_no_other() -> None:
    now = datetime.now(UTC)
    record = JobRecord(job_id="a_1", status=Status.CREATED, submitted_at=now, run_of="a_0", attempt=2)
    submission = Submission(template_id="a", script=None, labels={"team": "a"})
    details = stored_details(submission, Key("k", "h"), pod_template={})
    document = new_document(record, details, now=now)
    update: Any = conditional_update(Update(record, record), now=now, run_id="run", by=Writer.SYNC)
    changed = set(update._doc["$set"])
    [log_field] = re.findall(
        r'"\$set": \{"(\w+)": kept\}', (PACKAGE / "adapters/mongo/job_store.py").read_text()
    )
    pending = Pending(DocumentId(1), "a_1", 0, now, (), {})
    sent = Sent("ops", 0, "flinkjobs.job.created", now)
    marks: list[Any] = [
        write._doc for write in _writes(Progress(pending, {"ops": 0}, frozenset({"b"}), (sent,)), "seq")
    ]
    of_delivery = {name.partition(".")[0] for each in marks for names in each.values() for name in names}
    of_actions = {"actions", "open_action_since"}
    assert fields_of("Fields") == {*document, *changed, *of_delivery, *of_actions, log_field}
    of_the_record = {"template_id", "job_name", "submitted_by", "cluster", "labels"}
    assert set(document["spec"]) == (FIELDS - of_the_record) | fields_of("spec")
    assert fields_of("spec") - FIELDS == {"cluster_conf"}
    assert fields_of("flink_jobs") == set(_ref_document(FlinkJobRef(id="", source=IdSource.LOG)))
    stuck: Any = conditional_update(
        Update(record, replace(record, stuck_since=now)), now=now, run_id="run", by=Writer.SYNC
    )
    ill: Any = conditional_update(
        Update(record, replace(record, unhealthy_since=now)), now=now, run_id="run", by=Writer.SYNC
    )
    moves = [each._doc["$push"]["history"]["$each"][0] for each in (stuck, ill)]
    assert fields_of("history") == {*document["history"][0], *moves[0], *moves[1]}
    assert fields_of("clusters") == {
        *("_id", "history", "pending_since"),
        *ClusterRecord.__struct_fields__,
        *of_delivery,
    } - {"name"}
    assert fields_of("channels") == {"_id", *ChannelState.__struct_fields__} - {"name"}
    assert fields_of("Status") == {status.value for status in Status}


def test_metrics_page_names_every_metric_and_no_other() -> None:
    page = metrics_page.PAGE.read_text(encoding="utf-8")
    assert page == metrics_page.render(page), "run: python -m tests.integration.docs.metrics_page"
    in_alerts = set(re.findall(r"flinkjobs_\w+", page.partition("## Alerts")[2]))
    assert in_alerts
    assert in_alerts <= set(FIRST_CELL.findall(page))


def test_log_page_names_every_event_with_level_and_fields_and_no_other() -> None:
    page = (REFERENCE / "log-events.md").read_text(encoding="utf-8")
    rows = re.findall(
        r"^\| `([a-z0-9_]+\.[a-z0-9_]+)` \| ([^|]+) \| ([^|]+) \| [^|]+ \|$", page, re.MULTILINE
    )
    described = {
        name: log_events.Event(frozenset(levels.split(", ")), frozenset(re.findall(r"\w+", fields)))
        for name, levels, fields in rows
    }
    assert len(described) == len(rows)
    assert described == log_events.events()


def test_description_has_every_path_of_the_page_and_no_other() -> None:
    """The three functions without pages answer at `/`; jobs has the routes that it declares."""
    source = (PACKAGE / "entrypoints" / "jobs.py").read_text()
    declared = {
        (method.lower(), re.sub(r"<(\w+)>", r"{\1}", path).rstrip("/"))
        for method, path in re.findall(r'Route\("([A-Z]+)", "([^"]+)"', source)
    }
    described = {
        (method, path.removeprefix("/jobs"))
        for path, item in yaml.safe_load(api_page.SOURCE.read_text())["paths"].items()
        for method in item
        if path.split("/")[1] == "jobs" and path not in ("/jobs/health", "/jobs/ready")
    }
    assert len(declared) > 5
    assert described == declared


def test_events_page_names_every_type_and_every_field_of_a_channel_and_no_other() -> None:
    page = (REFERENCE / "events.md").read_text()
    types = re.findall(r"^\| `(flinkjobs\.[a-z_.]+)` \|", page, re.MULTILINE)
    assert types == list(EventType)
    rows = re.findall(r"^\| `(\w+)` \| (all|webhook|chat) \|", page.partition("## Channels")[2], re.MULTILINE)
    shared = {"name", "type", "url", *settings_notify._FILTERS}
    assert dict(rows) == dict.fromkeys(shared, "all") | {
        name: kind.value for kind, own in settings_notify._OWN.items() for name in own if name != "url"
    }
    assert len(rows) == len(dict(rows))


def test_site_builds_without_a_warning() -> None:
    assert site.main() == 0
    assert (site.ROOT / "build" / "docs" / "docs" / "tutorial" / "index.html").exists()


def test_every_error_is_explained_with_its_status_and_no_other() -> None:
    explained = codes_of("In an answer")
    statuses = {code: int(text) for code, text in explained.items() if text.isdigit()}
    in_reports = {code for code, text in explained.items() if not text.isdigit()}
    assert statuses == errors_of_the_code()
    assert in_reports == codes_of_reports() - set(statuses)


def test_the_page_of_the_http_interface_is_the_description() -> None:
    document = yaml.safe_load(api_page.SOURCE.read_text())
    assert api_page.PAGE.read_text() == api_page.render(document), (
        "run: python -m tests.integration.docs.api_page"
    )


def test_the_description_names_every_code_that_it_has() -> None:
    known = set(errors_of_the_code())
    named = set(re.findall(r"code: {enum: \[([A-Z0-9_]+)\]}", api_page.SOURCE.read_text()))
    assert len(named) > 3
    assert named <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
    for target in LINK.findall(text):
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        assert linked.exists(), f"{page.name}: {target}"
        if anchor and linked.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", linked.read_text(), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page.name}: {target}"


def test_no_page_is_forgotten() -> None:
    """Every page of docs/ is reachable from the README."""
    seen: set[Path] = set()
    left = [ROOT / "README.md"]
    while left:
        page = left.pop()
        if page.suffix == ".md" and page.exists() and page not in seen:
            seen.add(page)
            left.extend(
                (page.parent / target.partition("#")[0]).resolve()
                for target in LINK.findall(page.read_text())
            )
    assert set((ROOT / "docs").glob("**/*.md")) <= seen


def test_the_picture_of_the_house_is_the_contract_of_the_layers() -> None:
    """The rooms stand in the picture by layer, as import-linter holds them apart."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    [layers] = [
        contract["layers"]
        for contract in project["tool"]["importlinter"]["contracts"]
        if contract["id"] == "layers"
    ]
    expected = [set(layer.split(" | ")) for layer in layers]
    shown: dict[int, set[str]] = {}
    for number, room in re.findall(r"^(\d+) +(\w+) ", ARCHITECTURE.read_text(), re.MULTILINE):
        shown.setdefault(int(number), set()).add(room)
    assert list(shown) == list(range(len(expected), 0, -1))
    assert list(shown.values()) == expected


def test_the_contracts_are_explained_and_no_other() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    contracts = [contract["id"] for contract in project["tool"]["importlinter"]["contracts"]]
    [table] = re.findall(r"\| contract \| says \|\n\|---.*?\n\n", ARCHITECTURE.read_text(), re.DOTALL)
    assert FIRST_CELL.findall(table) == contracts


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_file_that_a_page_names_exists(page: Path) -> None:
    """A path in backticks is one of the checkout, of the package, or of the page's own folder."""
    named = NAMED_FILE.findall(re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL))
    roots = (ROOT, PACKAGE, page.parent)
    assert [name for name in named if not any((root / name).exists() for root in roots)] == []
