"""What submit accepts, and the faults it names in what it does not."""

import json
from typing import Any

import pytest

from flinkjobs.domain.errors import BadRequestError, TemplateMissingError, TemplateUnusableError
from flinkjobs.submit.request import Limits, parse_submission, template_defaults
from flinkjobs.submit.submission import InlineScript, PathScript, Resources, Submission, UrlScript

LIMITS = Limits(clusters=("default", "batch"), script_hosts=("scripts.example.org",))
LEAST: dict[str, Any] = {"template_id": "etl", "script": {"path": "/opt/jobs/etl.py"}}


def faults(body: dict[str, Any]) -> list[str]:
    """The pointers of all faults, in their order."""
    with pytest.raises(BadRequestError) as caught:
        parse_submission(body, LIMITS)
    assert caught.value.faults
    assert all(fault.detail for fault in caught.value.faults)
    return [fault.pointer for fault in caught.value.faults]


def test_the_least_request() -> None:
    assert parse_submission(LEAST, LIMITS) == Submission(
        template_id="etl",
        script=PathScript("/opt/jobs/etl.py"),
        cluster="default",
        attached=False,
        exactly_once=False,
        resources=Resources(cpu="500m", memory="1Gi"),
    )


def test_the_whole_request() -> None:
    body = {
        "template_id": "ETL_daily.v-2",
        "job_name": "日报 😀",
        "script": {"inline": "print(1)\n"},
        "args": ["--day", "", "a\nb", "$(x)"],
        "parallelism": 10_000,
        "py_files": ["/a.zip"],
        "jars": ["file:///x.jar"],
        "flink_conf": {"parallelism.default": "2", "a.b": "c d"},
        "savepoint_path": "s3://b/s",
        "allow_non_restored_state": True,
        "cluster": "batch",
        "attached": True,
        "exactly_once": True,
        "resources": {"cpu": "2", "memory": "1.5Gi"},
        "submitted_by": "李雷",
        "labels": {"team": "search", "a.example.com/Stage_1": ""},
    }
    assert parse_submission(body, LIMITS) == Submission(
        template_id="ETL_daily.v-2",
        script=InlineScript("print(1)\n"),
        job_name="日报 😀",
        args=("--day", "", "a\nb", "$(x)"),
        parallelism=10_000,
        py_files=("/a.zip",),
        jars=("file:///x.jar",),
        flink_conf={"parallelism.default": "2", "a.b": "c d"},
        savepoint_path="s3://b/s",
        allow_non_restored_state=True,
        cluster="batch",
        attached=True,
        exactly_once=True,
        resources=Resources(cpu="2", memory="1.5Gi"),
        submitted_by="李雷",
        labels={"team": "search", "a.example.com/Stage_1": ""},
    )


def test_an_entry_module_of_py_files_needs_no_script() -> None:
    body = {"template_id": "etl", "entry_module": "jobs.daily", "py_files": ["/a.zip"]}
    submission = parse_submission(body, LIMITS)
    assert (submission.script, submission.entry_module) == (None, "jobs.daily")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("template_id", None),
        ("template_id", 7),
        ("template_id", {"$ne": None}),
        ("template_id", ["etl"]),
        ("template_id", ""),
        ("template_id", "a" * 101),
        ("template_id", "日报"),
        ("template_id", "a b"),
        ("template_id", "a/b"),
        ("template_id", "../etl"),
        ("template_id", "-etl"),
        ("template_id", "etl\n"),
        ("template_id", "etl\u0000"),
        ("template_id", "\ud800"),
        ("job_name", ""),
        ("job_name", "a" * 201),
        ("job_name", "a\r\nX-Injected: 1"),
        ("script", "/opt/jobs/etl.py"),
        ("script", {}),
        ("script", {"path": "/x.py", "inline": "pass"}),
        ("script/path", "etl.py"),
        ("script/path", "/"),
        ("script/path", "/x\n.py"),
        ("script/path", {"$gt": ""}),
        ("script/path", "/" + "x" * 1024),
        ("script/inline", ""),
        ("script/other", "x"),
        ("args", "--day"),
        ("args", {"0": "x"}),
        ("args/0", 1),
        ("args/0", None),
        ("args/0", "a\u0000b"),
        ("args/0", "x" * 8193),
        ("args/0", "\udfff"),
        ("args", ["x"] * 201),
        ("parallelism", 0),
        ("parallelism", -1),
        ("parallelism", 10_001),
        ("parallelism", 10**4000),
        ("parallelism", True),
        ("parallelism", "4"),
        ("parallelism", 4.0),
        ("parallelism", {"$gt": 0}),
        ("py_files/0", "-x"),
        ("py_files/0", "/a.zip,/b.zip"),
        ("py_files/0", ""),
        ("jars/0", "-x"),
        ("jars/0", "/a\n.jar"),
        ("savepoint_path", "-x"),
        ("savepoint_path", ""),
        ("flink_conf", []),
        ("flink_conf/a.b", 1),
        ("flink_conf/a.b", True),
        ("flink_conf/a.b", ""),
        ("flink_conf/a.b", "x\ny"),
        ("flink_conf/a b", "x"),
        ("flink_conf/-x", "x"),
        ("flink_conf/a=b", "x"),
        ("flink_conf/$internal.pipeline.job-id", "0" * 32),
        ("flink_conf/$internal.anything", "x"),
        ("flink_conf/pipeline.name", "x"),
        ("flink_conf/jobmanager.rpc.address", "elsewhere"),
        ("flink_conf/rest.address", "elsewhere"),
        ("flink_conf/rest.port", "1"),
        ("flink_conf/rest.bind-port", "1"),
        ("flink_conf/execution.target", "local"),
        ("flink_conf/execution.attached", "true"),
        ("flink_conf/high-availability.type", "zookeeper"),
        ("cluster", "other"),
        ("cluster", ""),
        ("cluster", 1),
        ("cluster", {"$ne": "x"}),
        ("attached", 1),
        ("attached", "true"),
        ("allow_non_restored_state", True),  # without a savepoint_path
        ("exactly_once", 0),
        ("exactly_once", None),
        ("resources", "2"),
        ("resources/cpu", "two"),
        ("resources/cpu", 2),
        ("resources/cpu", "-1"),
        ("resources/memory", "1 Gi"),
        ("resources/memory", "1GB"),
        ("resources/disk", "1Gi"),
        ("submitted_by", ""),
        ("submitted_by", "a\tb"),
        ("unknown", 1),
        ("$where", "1"),
    ],
    ids=lambda value: ascii(value)[:40],
)
def test_a_faulty_field_is_named_by_its_pointer(field: str, value: Any) -> None:
    head, _, rest = field.partition("/")
    inner: Any = value
    if rest:
        inner = [value] if rest == "0" else {rest: value}
    body = LEAST | {head: inner}
    expected = f"/{field}"
    assert faults(body) == [expected]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"template_id": "etl", "entry_module": "jobs.daily"}, "/py_files"),
        (LEAST | {"entry_module": "jobs.daily", "py_files": ["/a.zip"]}, "/entry_module"),
    ],
    ids=["a module of no file", "a script and a module"],
)
def test_there_is_exactly_one_thing_to_run(body: dict[str, Any], pointer: str) -> None:
    assert faults(body) == [pointer]


@pytest.mark.parametrize("body", [{"template_id": "etl"}, {"template_id": "etl", "py_files": ["/a.zip"]}])
def test_without_a_script_there_has_to_be_a_template(body: dict[str, Any]) -> None:
    with pytest.raises(TemplateMissingError, match="no template etl"):
        parse_submission(body, LIMITS)


OLD_PLATFORM: dict[str, Any] = {
    "template_id": "etl",
    "status": "active",
    "parallelism": 4,
    "config": {
        "script_path": "/opt/jobs/etl.py",
        "entry_point": "main",
        "args": ["--all"],
        "jar_files": ["/a.jar"],
    },
}


def test_a_template_supplies_defaults() -> None:
    assert parse_submission({"template_id": "etl"}, LIMITS, template_defaults(OLD_PLATFORM)) == Submission(
        template_id="etl",
        script=PathScript("/opt/jobs/etl.py"),
        args=("--all",),
        jars=("/a.jar",),
        parallelism=4,
    )


def test_the_request_overrides_its_template() -> None:
    body = {"template_id": "etl", "script": {"inline": "x"}, "args": [], "parallelism": 1}
    submission = parse_submission(body, LIMITS, template_defaults(OLD_PLATFORM))
    assert (submission.script, submission.args, submission.parallelism) == (InlineScript("x"), (), 1)
    assert submission.jars == ("/a.jar",)


def test_null_takes_the_value_of_the_template() -> None:
    body = {"template_id": "etl", "script": None, "entry_module": None, "parallelism": None}
    submission = parse_submission(body, LIMITS, template_defaults(OLD_PLATFORM))
    assert (submission.script, submission.parallelism) == (PathScript("/opt/jobs/etl.py"), 4)


def test_a_request_for_a_module_takes_no_script_of_the_template() -> None:
    body = {"template_id": "etl", "entry_module": "jobs.daily", "py_files": ["/a.zip"]}
    submission = parse_submission(body, LIMITS, template_defaults(OLD_PLATFORM))
    assert (submission.script, submission.entry_module) == (None, "jobs.daily")


@pytest.mark.parametrize("status", ["inactive", "draft", "deleted", 0])
def test_a_template_that_is_not_active_cannot_be_submitted(status: object) -> None:
    with pytest.raises(TemplateUnusableError, match="cannot be submitted"):
        template_defaults(OLD_PLATFORM | {"status": status})


def test_a_faulty_template_is_its_own_fault() -> None:
    template = template_defaults(OLD_PLATFORM | {"parallelism": 0})
    with pytest.raises(TemplateUnusableError, match="/parallelism"):
        parse_submission({"template_id": "etl"}, LIMITS, template)


@pytest.mark.parametrize(
    "url",
    [
        "http://scripts.example.org/a.py",
        "https://other.example.org/a.py",
        "https://scripts.example.org.evil.example/a.py",
        "https://scripts.example.org:8443/a.py",
        "https://user@scripts.example.org/a.py",
        "https://scripts.example.org@evil.example/a.py",
        "file:///etc/passwd",
        "https://[::1/a.py",
    ],
)
def test_a_script_is_fetched_from_an_allowed_host_over_https_only(url: str) -> None:
    assert set(faults({"template_id": "etl", "script": {"url": url}})) == {"/script/url"}


def test_a_script_of_an_allowed_host_is_accepted() -> None:
    url = "https://scripts.example.org/jobs/a.py?version=3"
    assert parse_submission({"template_id": "etl", "script": {"url": url}}, LIMITS).script == UrlScript(url)


@pytest.mark.parametrize("path", ["/opt/../etc/passwd", "/..", "/opt/jobs/.."])
def test_a_path_may_not_climb(path: str) -> None:
    assert faults({"template_id": "etl", "script": {"path": path}}) == ["/script/path"]


@pytest.mark.parametrize("name", ["jobs.daily", "_private", "a", "a1.b_2"])
def test_an_entry_module_is_a_dotted_name(name: str) -> None:
    body = {"template_id": "etl", "entry_module": name, "py_files": ["/a.zip"]}
    assert parse_submission(body, LIMITS).entry_module == name


@pytest.mark.parametrize("name", ["", ".a", "a.", "a..b", "-m", "a b", "1a", "a\n", "a;b", "a" * 201])
def test_anything_else_is_no_entry_module(name: str) -> None:
    body = {"template_id": "etl", "entry_module": name, "py_files": ["/a.zip"]}
    assert faults(body) == ["/entry_module"]


def test_every_fault_is_named_at_once() -> None:
    body = {
        "template_id": "a b",
        "script": {"path": "relative.py", "mode": 7},
        "args": ["fine", 1, "fine", None],
        "parallelism": True,
        "flink_conf": {"$internal.x": "1", "fine": "1", "rest.port": "1", "n": 1},
        "cluster": "other",
        "attached": "yes",
        "extra": 1,
    }
    assert sorted(faults(body)) == sorted(
        [
            "/template_id",
            "/script/path",
            "/script/mode",
            "/args/1",
            "/args/3",
            "/parallelism",
            "/flink_conf/$internal.x",
            "/flink_conf/rest.port",
            "/flink_conf/n",
            "/cluster",
            "/attached",
            "/extra",
        ]
    )


def test_a_pointer_escapes_what_rfc_6901_says() -> None:
    assert faults(LEAST | {"flink_conf": {"a/b~c": "x"}}) == ["/flink_conf/a~1b~0c"]


@pytest.mark.parametrize("field", ["script", "job_name", "parallelism", "savepoint_path", "submitted_by"])
def test_null_means_left_out_where_a_field_may_be(field: str) -> None:
    body = {"template_id": "etl", "entry_module": "m", "py_files": ["/a.zip"], field: None}
    assert getattr(parse_submission(body, LIMITS), field) is None


LIMIT = 900 * 1024


@pytest.mark.parametrize(
    ("text", "is_accepted"),
    [
        ("x" * LIMIT, True),
        ("x" * (LIMIT + 1), False),
        ("作" * (LIMIT // 3), True),
        ("作" * (LIMIT // 3) + "x", False),
        ("作" * LIMIT, False),
    ],
    ids=["exactly", "one more", "exactly, of three bytes each", "one byte more", "as many characters"],
)
def test_an_inline_script_is_limited_in_bytes(text: str, *, is_accepted: bool) -> None:
    body = LEAST | {"script": {"inline": text}}
    if is_accepted:
        assert parse_submission(body, LIMITS).script == InlineScript(text)
    else:
        assert faults(body) in (["/script"], ["/script/inline"])


@pytest.mark.parametrize("depth", [10, 400])
def test_a_deeply_nested_value_is_a_fault_like_any_other(depth: int) -> None:
    nested = json.loads("[" * depth + "]" * depth)
    assert faults(LEAST | {"args": nested}) == ["/args/0"]
    assert faults(LEAST | {"x": nested}) == ["/x"]


def test_the_clusters_to_choose_from_are_named() -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_submission(LEAST | {"cluster": "other"}, LIMITS)
    assert caught.value.faults[0].detail == "must be one of: batch, default"


def test_what_was_sent_is_not_quoted_back() -> None:
    with pytest.raises(BadRequestError) as caught:
        parse_submission(LEAST | {"parallelism": "<script>alert(1)</script>"}, LIMITS)
    assert "script>" not in repr(caught.value.faults) + str(caught.value)
