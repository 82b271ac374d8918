"""What must hold of the deployment, read from its files: neither Terraform nor an account is needed.

Every assertion of the *.tftest.hcl in terraform/, which need the providers, is checked here as well.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable
from math import floor
from pathlib import Path
from typing import Any

import pytest
from packaging.specifiers import SpecifierSet

from flinkjobs.adapters.kubernetes.client import READ_TIMEOUT_SECONDS
from flinkjobs.cli.schedules import DESCRIPTIONS
from flinkjobs.domain.cron import cron_fault
from flinkjobs.domain.ticks import ENDS_AT
from flinkjobs.entrypoints.submit import CONNECT_SECONDS
from flinkjobs.settings.functions import Settings
from tests.terraform.module import (
    MODULE,
    ROOT,
    Block,
    Module,
    dynamic,
    inputs_table,
    kubernetes_documents,
    one,
    outputs_table,
    parse,
    patterns,
    read_module,
    strings,
)
from tests.terraform.providers import SCHEMAS

EXAMPLE = MODULE / "examples" / "complete"
FUNCTIONS = ("cleanup", "jobs", "submit", "sync")
SCHEDULED = ("cleanup", "sync")

MIRRORED: set[str] = set()
"""What the *.tftest.hcl assert, and a test here too: error messages, and names of runs that must fail."""

Test = Callable[..., None]


def mirrors(*assertions: str) -> Callable[[Test], Test]:
    """Marks a test that checks the same as these assertions."""

    def mark(test: Test) -> Test:
        MIRRORED.update(assertions)
        return test

    return mark


@pytest.fixture(scope="module")
def module() -> Module:
    return read_module()


@pytest.fixture(scope="module")
def functions(module: Module) -> dict[str, Block]:
    """The table of the functions."""
    table: dict[str, Block] = module.locals["functions"]
    return table


def default(module: Module, variable: str) -> Any:
    return module.variables[variable]["default"]


def conditions(module: Module, variable: str) -> list[str]:
    return [validation["condition"] for validation in module.variables[variable]["validation"]]


def fits(module: Module, variable: str, value: str) -> bool:
    """Whether a value matches the patterns of a variable's validations."""
    found = [pattern for condition in conditions(module, variable) for pattern in patterns(condition)]
    assert found, f"{variable} has no pattern"
    return all(pattern.search(value) for pattern in found)


def test_every_assertion_of_terraforms_own_tests_is_checked_here() -> None:
    asserted = set()
    for block in [block for path in sorted(MODULE.rglob("*.tftest.hcl")) for block in parse(path)["run"]]:
        [(name, run)] = block.items()
        asserted |= {assertion["error_message"] for assertion in run.get("assert", [])}
        if "expect_failures" in run:
            asserted.add(name)
    assert asserted == MIRRORED


# --- the functions ------------------------------------------------------------------------------------


def test_there_are_four_functions_each_with_its_own_entry_point(
    module: Module, functions: dict[str, Block]
) -> None:
    assert tuple(sorted(functions)) == FUNCTIONS
    function = module.resources["google_cloudfunctions2_function.this"]
    assert function["for_each"] == (
        '${{for name, described in local.functions : name => described if name != "jobs" || !local.has_iap}}'
    )
    assert one(function, "build_config", "entry_point") == "${each.key}"
    for name in FUNCTIONS:
        source = (ROOT / "functions" / name / "main.py").read_text()
        assert re.search(rf"@functions_framework\.http\ndef {name}\(", source)


@mirrors("sync and cleanup run one at a time.")
def test_sync_and_cleanup_run_one_at_a_time(module: Module, functions: dict[str, Block]) -> None:
    assert [functions[name]["concurrency"] for name in SCHEDULED] == [1, 1]
    assert functions["cleanup"]["max_instances"] == 1
    assert functions["sync"]["max_instances"] == "${var.sync_follow_seconds == null ? 1 : 2}"
    config = one(module.resources["google_cloudfunctions2_function.this"], "service_config")
    assert config["max_instance_count"] == "${each.value.max_instances}"
    assert config["max_instance_request_concurrency"] == "${each.value.concurrency}"


def test_concurrent_requests_have_a_whole_cpu(functions: dict[str, Block]) -> None:
    """Cloud Run refuses a concurrency above one below one CPU."""
    for described in functions.values():
        assert described["concurrency"] == 1 or float(described["cpu"]) >= 1


@mirrors("sync and cleanup cannot be reached from outside.")
def test_sync_and_cleanup_cannot_be_reached_from_outside(module: Module, functions: dict[str, Block]) -> None:
    ingress = {name: described["ingress"] for name, described in functions.items()}
    assert ingress == {
        "cleanup": "ALLOW_INTERNAL_ONLY",
        "jobs": "${var.caller_ingress}",
        "submit": "${var.caller_ingress}",
        "sync": "ALLOW_INTERNAL_ONLY",
    }
    config = one(module.resources["google_cloudfunctions2_function.this"], "service_config")
    assert config["ingress_settings"] == "${each.value.ingress}"
    assert default(module, "caller_ingress") == "ALLOW_INTERNAL_AND_GCLB"


@mirrors("The functions run on Python 3.12.")
def test_the_functions_run_on_python_3_12(module: Module) -> None:
    function = module.resources["google_cloudfunctions2_function.this"]
    assert one(function, "build_config", "runtime") == "${var.runtime}"
    assert default(module, "runtime") == "python312"


@mirrors(
    "Every function gets MONGODB_URI, by the version of its secret.",
    "submit demands a signature.",
    "sync alone gets the channels.",
)
def test_secrets_come_from_secret_manager_by_version(module: Module, functions: dict[str, Block]) -> None:
    config = one(module.resources["google_cloudfunctions2_function.this"], "service_config")
    content = one(dynamic(config, "secret_environment_variables"), "content")
    assert content["version"] == (
        "${google_secret_manager_secret_version.this[secret_environment_variables.value].version}"
    )
    for described in functions.values():
        assert "MONGODB_URI" in str(described["secrets"])
        assert not {"MONGODB_URI", "NOTIFY_CHANNELS", "PAGE_ACTION_SECRET", "WEBHOOK_SECRETS"} & set(
            described["optional"]
        )
    assert re.search(
        r"webhook_secrets_version == null \? \{\} : \{\s*WEBHOOK_SECRETS", functions["submit"]["secrets"]
    )
    assert re.search(
        r"notify_channels_version == null \? \{\} : \{\s*NOTIFY_CHANNELS", functions["sync"]["secrets"]
    )
    with_channels = [name for name, described in functions.items() if "NOTIFY_CHANNELS" in str(described)]
    assert with_channels == ["sync"]


def test_no_secret_is_kept_in_a_state_or_a_plan(module: Module) -> None:
    secret = {"mongodb_read_uri", "mongodb_uri", "notify_channels", "page_action_secret", "webhook_secrets"}
    for name, variable in module.variables.items():
        assert (variable.get("ephemeral", False), variable.get("sensitive", False)) == (
            (name in secret,) * 2
        ), name
    version = module.resources["google_secret_manager_secret_version.this"]
    assert "secret_data_wo" in version
    assert "secret_data" not in version


def test_the_functions_get_settings_that_there_are(module: Module, functions: dict[str, Block]) -> None:
    source = source_of("settings")
    known = set(re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', source))
    known |= {name.upper() for name in Settings.__dataclass_fields__}
    [allowed] = [set(re.findall(r'"([A-Z0-9_]+)"', text)) for text in conditions(module, "settings")]
    passed_on = {name for described in functions.values() for name in described["optional"]}
    assert allowed == passed_on
    fixed = set(re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+) =", module.locals["common_environment"]))
    for described in functions.values():
        fixed |= set(re.findall(r"\b([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)\b", str(described["environment"])))
    assert fixed | passed_on <= known
    assert {"FLINK_REST_URL", "GKE_CLUSTER", "K8S_AUTH", "K8S_NAMESPACE", "MONGODB_DATABASE"} <= fixed


def source_of(room: str) -> str:
    """The source of all modules of a part of the package."""
    return "\n".join(path.read_text() for path in (ROOT / "shared" / "flinkjobs" / room).rglob("*.py"))


OF_A_SCHEDULE = ("ATTEMPT_DEADLINE_SECONDS", "CRON", "SCHEDULE")
"""What the client reads of each schedule, behind the name of its function."""


def test_the_clients_environment_is_one_that_it_reads(module: Module) -> None:
    source = source_of("settings")
    read = set(re.findall(r'"([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)"', source))
    read |= {f"{function.upper()}_URL" for function in FUNCTIONS}
    read |= {f"{function.upper()}_{what}" for function in SCHEDULED for what in OF_A_SCHEDULE}
    assert set(module.outputs["client_environment"]["value"]) <= read


def test_a_function_starts_after_it_may_read_its_secrets(module: Module) -> None:
    function = module.resources["google_cloudfunctions2_function.this"]
    assert function["depends_on"] == ["${time_sleep.grants}"]
    granted = set(module.resources["time_sleep.grants"]["depends_on"])
    assert "${google_secret_manager_secret_iam_member.function}" in granted
    of_the_build = {name for name in module.resources if re.search(r"_iam_member\.build", name)}
    assert of_the_build
    assert {f"${{{name}}}" for name in of_the_build} <= granted


def test_everything_waits_until_the_services_are_known(module: Module) -> None:
    """One that was switched on a moment ago answers that it is off, and ends the first apply.

    What names another resource waits for it; what names none has to wait itself.
    """
    assert module.resources["time_sleep.services"]["depends_on"] == ["${google_project_service.this}"]
    for address, block in module.resources.items():
        if address.startswith("google_") and address != "google_project_service.this":
            named = set(re.findall(r"\b((?:google|time)_\w+\.\w+)", " ".join(strings(block))))
            assert named & set(module.resources) - {address, "google_project_service.this"}, address


# --- the schedules ------------------------------------------------------------------------------------


@mirrors("Each schedule calls its function's own address, which is also the token's audience.")
def test_audience_and_address_are_the_functions_own(module: Module) -> None:
    target = one(module.resources["google_cloud_scheduler_job.this"], "http_target")
    uri = "${google_cloudfunctions2_function.this[each.key].service_config[0].uri}"
    assert (target["uri"], one(target, "oidc_token", "audience")) == (uri, uri)
    assert one(target, "oidc_token", "service_account_email") == "${google_service_account.invoker.email}"


@mirrors("sync runs every three minutes, cleanup every night.")
def test_sync_runs_every_three_minutes_and_cleanup_every_night(module: Module) -> None:
    assert (default(module, "sync_cron"), default(module, "cleanup_cron")) == ("*/3 * * * *", "0 2 * * *")
    for name in SCHEDULED:
        assert module.locals["schedules"][name]["cron"] == f"${{var.{name}_cron}}"
    assert module.resources["google_cloud_scheduler_job.this"]["schedule"] == "${each.value.cron}"
    assert default(module, "time_zone") == "Etc/UTC"


@mirrors("The client waits for each function as long as its schedule does.")
def test_the_client_would_make_the_same_schedules(module: Module) -> None:
    """`flinkjobs schedules apply` finds nothing to change after a deployment."""
    job = module.resources["google_cloud_scheduler_job.this"]
    target = one(job, "http_target")
    assert (target["http_method"], target["headers"], target["body"]) == (
        "POST",
        {"Content-Type": "application/json"},
        '${base64encode("{}")}',
    )
    assert job["name"] == "${var.prefix}-${each.key}"
    assert default(module, "prefix") == "flinkjobs"
    described = {name: module.locals["schedules"][name]["description"] for name in SCHEDULED}
    assert described == DESCRIPTIONS
    client = module.outputs["client_environment"]["value"]
    for name in SCHEDULED:
        assert client[f"{name.upper()}_CRON"] == f"${{var.{name}_cron}}"
        assert client[f"{name.upper()}_ATTEMPT_DEADLINE_SECONDS"] == (
            f"${{tostring(local.schedules.{name}.deadline_seconds)}}"
        )


def budget_of_sync(module: Module, name: str, period: int) -> int:
    """What one of sync's budgets comes to by itself, as its expression says."""
    expression = module.locals["schedules"]["sync"][f"{name}_seconds"]
    found = re.search(
        r"min\((\d+), floor\(local\.schedule_period_seconds\.sync \* (\d+) / 12\)\)", expression
    )
    assert found, expression
    return min(int(found[1]), floor(period * int(found[2]) / 12))


@pytest.mark.parametrize(
    ("period", "budgets"), [(60, [40, 50, 55]), (180, [120, 150, 165]), (600, [120, 150, 165])]
)
@mirrors(
    "The budgets grow: 120 s of work, 150 s timeout, 165 s deadline.",
    "The budgets follow a shorter period.",
    "A longer period changes no budget.",
)
def test_the_budgets_grow_and_end_before_the_next_run(
    module: Module, functions: dict[str, Block], period: int, budgets: list[int]
) -> None:
    assert [budget_of_sync(module, name, period) for name in ("budget", "timeout", "deadline")] == budgets
    assert sorted({*budgets, period}) == [*budgets, period]
    cleanup = [
        default(module, f"cleanup_{name}_seconds") for name in ("budget", "timeout", "attempt_deadline")
    ]
    assert cleanup == [120, 150, 165]
    for name in SCHEDULED:
        assert functions[name]["timeout"] == f"${{local.schedules.{name}.timeout_seconds}}"
        budget = f"tostring(local.schedules.{name}.budget_seconds)"
        assert budget in str(functions[name]["environment"])
    job = module.resources["google_cloud_scheduler_job.this"]
    assert job["attempt_deadline"] == "${each.value.deadline_seconds}s"
    assert one(job, "retry_config", "retry_count") == 0


@mirrors("a_budget_above_the_timeout", "a_timeout_above_the_deadline", "a_deadline_above_the_period")
def test_budgets_out_of_order_are_refused(module: Module) -> None:
    job = module.resources["google_cloud_scheduler_job.this"]
    condition = one(job, "lifecycle")["precondition"][0]["condition"]
    order = ("budget", "timeout", "deadline", "period")
    compared = [
        f"each.value.{low}_seconds < each.value.{high}_seconds" for low, high in itertools.pairwise(order)
    ]
    assert condition == "${(" + " && ".join(compared) + ")}"


@mirrors(
    "A call that follows to second 57 ends before its timeout, its deadline and the next call.",
    "Sync now has an instance of its own.",
    "sync alone follows.",
    "follow_without_its_schedule",
    "follow_too_often",
    "a_timeout_below_the_end_of_a_call_that_follows",
)
def test_a_call_that_follows_fits_into_its_minute(module: Module, functions: dict[str, Block]) -> None:
    """Its end is `domain/ticks.py`'s, its bounds are those of the setting."""
    ends_at = int(ENDS_AT.total_seconds())
    for name, seconds in (("timeout", ends_at + 1), ("deadline", ends_at + 2)):
        expression = module.locals["schedules"]["sync"][f"{name}_seconds"]
        assert f"var.sync_follow_seconds == null ? null : {seconds}," in expression
    _, follows = one(module.resources["google_cloud_scheduler_job.this"], "lifecycle")["precondition"]
    assert f"each.value.timeout_seconds > {ends_at}" in follows["condition"]
    bounds, schedule = conditions(module, "sync_follow_seconds")
    assert "var.sync_follow_seconds >= 2 && var.sync_follow_seconds <= 30" in bounds
    assert 'contains(["* * * * *", "*/1 * * * *"], var.sync_cron)' in schedule
    follow = "SYNC_FOLLOW_SECONDS = tostring(var.sync_follow_seconds)"
    assert [name for name in FUNCTIONS if follow in str(functions[name]["environment"])] == ["sync"]


@mirrors(
    "The time between two runs follows from the cron expression.",
    "From minute 58 to minute 0 of the next hour it is two minutes.",
)
def test_the_period_is_the_shortest_time_between_two_minutes(module: Module) -> None:
    gaps = module.locals["schedule_gaps_seconds"]
    assert "60 * (" in gaps
    assert "tonumber(minutes[index + 1]) - tonumber(minute)" in gaps
    assert "60 + tonumber(minutes[0]) - tonumber(minute)" in gaps
    assert "=> min(gaps ...)" in module.locals["schedule_period_seconds"]
    assert "=> max(gaps ...)" in module.locals["schedule_longest_seconds"]
    for name in SCHEDULED:
        schedule = module.locals["schedules"][name]
        assert schedule["period_seconds"] == f"${{local.schedule_period_seconds.{name}}}"


@pytest.mark.parametrize("variable", ["sync_cron", "cleanup_cron"])
@pytest.mark.parametrize(
    "cron", ["*/3 * * * *", "*/1 * * * *", "*/10 * * * *", "0 2 * * *", "0,20,30-40/5,58 8-18 * * MON-FRI"]
)
def test_expressions_that_the_schedules_take_are_taken(module: Module, variable: str, cron: str) -> None:
    assert cron_fault(cron) is None
    assert fits(module, variable, cron)


# --- who may do what ----------------------------------------------------------------------------------

INVOKERS_BY_DEFAULT = """${merge({for function in keys(local.schedules) : "${function}:scheduler" => \
{function = function, member = google_service_account.invoker.member}}, """


@mirrors(
    "Only Cloud Scheduler may call by default.",
    "Exactly who is named may call.",
    "jobs and submit may call sync, through the network.",
    "jobs may call submit, with a secret that both have.",
    "page_actions_without_their_secret",
)
def test_only_named_members_may_call(module: Module, functions: dict[str, Block]) -> None:
    assert default(module, "submit_invokers") == []
    assert default(module, "jobs_invokers") == []
    assert default(module, "sync_now") is False
    invokers = module.locals["invokers"]
    assert invokers.startswith(INVOKERS_BY_DEFAULT)
    assert re.findall(r"for member in (\S+) :", invokers) == ["var.jobs_invokers", "var.submit_invokers"]
    assert 'for function in var.sync_now ? ["jobs", "submit"] : [] : "sync:${function}"' in invokers
    for function in ("jobs", "submit"):
        assert "var.sync_now ? {SYNC_URL = local.addresses.sync} : {}" in functions[function]["environment"]
    assert functions["submit"]["egress"] == '${var.sync_now ? "ALL_TRAFFIC" : var.vpc_egress}'
    assert 'var.page_actions ? {"submit:jobs" =' in invokers
    through = '${var.sync_now || var.page_actions ? "ALL_TRAFFIC" : var.vpc_egress}'
    assert functions["jobs"]["egress"] == through
    assert default(module, "page_actions") is False
    [signed] = conditions(module, "page_actions")
    assert signed == (
        "${!var.page_actions || var.webhook_secrets_version == null"
        " || var.page_action_secret_version != null}"
    )
    with_secret = [name for name, described in functions.items() if "page_action_secret" in str(described)]
    assert with_secret == ["jobs", "submit"]
    grants = {address: block for address, block in module.resources.items() if "run.invoker" in str(block)}
    assert list(grants) == [
        "google_cloud_run_v2_service_iam_member.invoker",
        "google_cloud_run_v2_service_iam_member.iap",
    ]
    grant = grants["google_cloud_run_v2_service_iam_member.invoker"]
    assert grant["role"] == "roles/run.invoker"
    assert grant["name"] == "${google_cloudfunctions2_function.this[each.value.function].name}"


@mirrors("versions_without_their_secrets")
@pytest.mark.parametrize(
    "secret", ["mongodb_read_uri", "notify_channels", "page_action_secret", "webhook_secrets"]
)
def test_a_version_needs_its_secret(module: Module, secret: str) -> None:
    """Provider 7 refuses a version of a secret without a value, whether or not it would be sent."""
    *_, given = conditions(module, secret)
    assert given == f"${{var.{secret} != null || var.{secret}_version == null}}"
    assert "default" not in module.variables["mongodb_uri"]
    assert module.variables["mongodb_uri"]["nullable"] is False


@mirrors("everybody_without_a_signature")
def test_submit_is_public_with_a_signature_only(module: Module) -> None:
    _, signed = conditions(module, "submit_invokers")
    assert signed == ('${!contains(var.submit_invokers, "allUsers") || var.webhook_secrets_version != null}')
    assert not fits(module, "submit_invokers", "allAuthenticatedUsers")


@mirrors("the_page_for_everybody")
def test_the_page_is_never_public(module: Module) -> None:
    [condition] = conditions(module, "jobs_invokers")
    assert "allUsers" not in condition
    assert not fits(module, "jobs_invokers", "allUsers")
    assert fits(module, "jobs_invokers", "group:data@example.com")


@mirrors(
    "Behind Identity-Aware Proxy jobs is a Cloud Run service.",
    "jobs believes the proxy's header, and has its other settings.",
    "Only the proxy calls the page, for those who may sign in.",
)
def test_the_page_is_behind_iap_where_members_are_named(module: Module) -> None:
    assert default(module, "iap_members") == default(module, "operators") == []
    assert module.locals["has_iap"] == "${length(var.iap_members) > 0}"
    page = module.resources["google_cloud_run_v2_service.jobs"]
    assert (page["count"], page["iap_enabled"]) == ("${local.has_iap ? 1 : 0}", True)
    assert one(page, "build_config", "function_target") == "jobs"
    assert '"jobs"' in one(page, "build_config", "source_location")
    assert page["depends_on"] == ["${time_sleep.grants}"]
    environment = module.locals["jobs_environment"]
    assert 'TRUSTED_USER_HEADER = "X-Goog-Authenticated-User-Email"' in environment
    assert "local.functions.jobs.environment" in environment
    assert "if !local.has_iap" in module.locals["invokers"]
    agent = module.resources["google_cloud_run_v2_service_iam_member.iap"]
    assert agent["member"].endswith("@gcp-sa-iap.iam.gserviceaccount.com")
    access = module.resources["google_iap_web_cloud_run_service_iam_member.page"]
    assert (access["for_each"], access["member"]) == ("${var.iap_members}", "${each.value}")
    assert module.outputs["jobs_url"]["value"] == "${local.jobs_uri}"


@mirrors("operators_without_a_sign_in", "the_page_for_everybody_behind_iap")
def test_operators_are_known_by_a_sign_in_only(module: Module) -> None:
    *_, known = conditions(module, "operators")
    assert known == "${length(var.operators) == 0 || length(var.iap_members) > 0}"
    for entry, is_taken in (
        ("ann@example.com", True),
        ("*", True),
        ("*@ops.example.com", True),
        ("a*@b", False),
    ):
        assert fits(module, "operators", entry) == is_taken, entry
    assert fits(module, "iap_members", "domain:example.com")
    assert not fits(module, "iap_members", "allUsers")


@mirrors("The alerts look at the service that there is.")
def test_alerts_and_metrics_name_the_service_that_there_is(module: Module) -> None:
    for name in ("log_of", "errors_of"):
        assert "local.service_names[function]" in module.locals[name]
    assert '"${var.prefix}-page"' in module.locals["service_names"]


def test_every_function_and_every_task_has_its_own_identity(module: Module) -> None:
    accounts = module.of_type("google_service_account")
    assert set(accounts) == {"build", "function", "invoker"}
    assert accounts["function"]["for_each"] == "${local.functions}"
    config = one(module.resources["google_cloudfunctions2_function.this"], "service_config")
    assert config["service_account_email"] == "${google_service_account.function[each.key].email}"


def test_no_role_is_broader_than_its_task(module: Module) -> None:
    """Project-wide are only log writing, reading the sources of functions, and finding the cluster."""
    roles = {
        address: block["role"]
        for address, block in module.resources.items()
        if address.partition(".")[0].endswith("_iam_member")
    }
    assert roles == {
        "google_artifact_registry_repository_iam_member.build": "roles/artifactregistry.writer",
        "google_cloud_run_v2_service_iam_member.invoker": "roles/run.invoker",
        "google_cloud_run_v2_service_iam_member.iap": "roles/run.invoker",
        "google_iap_web_cloud_run_service_iam_member.page": "roles/iap.httpsResourceAccessor",
        "google_project_iam_member.build": "roles/logging.logWriter",
        "google_project_iam_member.build_sources": "roles/storage.objectViewer",
        "google_project_iam_member.cluster_access": ("${google_project_iam_custom_role.cluster_access.name}"),
        "google_secret_manager_secret_iam_member.function": "roles/secretmanager.secretAccessor",
        "google_storage_bucket_iam_member.build": "roles/storage.objectViewer",
    }
    assert not [address for address in module.resources if re.search(r"_iam_(binding|policy)\.", address)]
    custom = module.resources["google_project_iam_custom_role.cluster_access"]
    assert custom["permissions"] == ["container.clusters.connect", "container.clusters.get"]
    sources = module.resources["google_project_iam_member.build_sources"]
    assert "gcf-v2-sources-" in one(sources, "condition", "expression")


def test_only_a_functions_own_secrets_are_readable(module: Module) -> None:
    readers = module.locals["secret_readers"]
    assert "for secret in values(described.secrets)" in readers
    grant = module.resources["google_secret_manager_secret_iam_member.function"]
    assert grant["secret_id"] == "${google_secret_manager_secret.this[each.value.secret].secret_id}"
    assert grant["member"] == "${google_service_account.function[each.value.function].member}"


def test_no_key_of_a_service_account_is_made(module: Module) -> None:
    assert not module.of_type("google_service_account_key")


# --- the source ---------------------------------------------------------------------------------------


@mirrors("The bucket cannot become public.")
def test_the_bucket_cannot_become_public(module: Module) -> None:
    bucket = module.resources["google_storage_bucket.artifacts"]
    assert bucket["public_access_prevention"] == "enforced"
    assert bucket["uniform_bucket_level_access"] is True
    assert one(bucket, "versioning", "enabled") is True
    assert {one(rule, "action", "type") for rule in bucket["lifecycle_rule"]} == {
        "Delete",
        "AbortIncompleteMultipartUpload",
    }


def test_another_source_is_another_object(module: Module) -> None:
    archive = module.data["archive_file.bundle"]
    assert archive["source_dir"] == "${local.bundle_dir}/${each.key}"
    assert archive["output_file_mode"] == "0644"
    assert archive["excludes"] == ["**/__pycache__/**"]
    bundle = module.resources["google_storage_bucket_object.bundle"]
    assert bundle["name"] == "${each.key}-${data.archive_file.bundle[each.key].output_sha256}.zip"
    source = one(
        module.resources["google_cloudfunctions2_function.this"], "build_config", "source", "storage_source"
    )
    assert source["object"] == "${google_storage_bucket_object.bundle[each.key].name}"


# --- alerts -------------------------------------------------------------------------------------------


@mirrors("There are eight alerts.")
def test_there_are_eight_alerts_that_say_what_to_do(module: Module) -> None:
    alerts = module.locals["alerts"]
    assert set(alerts) == {
        *(
            "cleanup_overdue",
            "jobs_lost",
            "jobs_unhealthy",
            "no_complete_pass",
            "notifications_failed",
            "page_failed",
        ),
        *("pass_failed", "submit_failed"),
    }
    policy = module.resources["google_monitoring_alert_policy.this"]
    assert policy["for_each"] == "${local.alerts}"
    assert policy["notification_channels"] == "${var.notification_channels}"
    for alert in alerts.values():
        assert alert["advice"].strip()
        assert alert["severity"] in {"WARNING", "ERROR", "CRITICAL"}


@mirrors(
    "One period in the query and two in the duration are three.",
    "There is no alert while the schedule is paused.",
)
def test_three_periods_without_a_complete_pass(module: Module, functions: dict[str, Block]) -> None:
    """The window of the query and the duration of the condition together are the time that may pass."""
    assert module.locals["sync_overdue_seconds"] == (
        "${coalesce(var.sync_overdue_seconds, 3 * local.schedule_longest_seconds.sync)}"
    )
    assert module.locals["sync_period"] == "${local.schedule_longest_seconds.sync}"
    alert = module.locals["alerts"]["no_complete_pass"]
    assert alert["duration"] == "${2 * local.sync_period}"
    window = "${local.sync_overdue_seconds - 2 * local.sync_period}"
    assert f"${{local.promql.complete_passes}}[{window}s]" in alert["query"]
    assert "or vector(0)" in alert["query"]
    period = "tostring(local.sync_overdue_seconds / 3)"
    assert f"SYNC_PERIOD_SECONDS = {period}" in functions["jobs"]["environment"]
    assert f"SYNC_PERIOD_SECONDS = {period}" in functions["sync"]["environment"]


@mirrors("a_schedule_that_rests", "an_alarm_before_the_third_pass")
def test_an_alarm_that_would_come_by_itself_is_refused(module: Module) -> None:
    rests, _, least = conditions(module, "sync_overdue_seconds")
    assert 'endswith(var.sync_cron, " * * * *")' in rests
    assert "var.sync_overdue_seconds >= 3 * local.schedule_longest_seconds.sync" in least


def test_errors_of_submit_and_of_the_page_raise_alerts(module: Module) -> None:
    """A page that an instance answers with 503 in its first minute raises none."""
    errors = module.locals["errors_of"]
    assert 'for function in ["jobs", "submit"]' in errors
    assert 'response_code_class=\\"5xx\\"' in errors
    alerts = module.locals["alerts"]
    assert alerts["submit_failed"]["query"] == "sum(increase(${local.errors_of.submit}[10m])) > 0"
    assert alerts["submit_failed"]["duration"] == 0
    assert alerts["page_failed"]["query"] == "sum(increase(${local.errors_of.jobs}[5m])) > 0"
    assert alerts["page_failed"]["duration"] == 600


def test_a_cleanup_may_be_26_hours_old(module: Module) -> None:
    query = module.locals["alerts"]["cleanup_overdue"]["query"]
    assert "${local.promql.cleanups}[${var.cleanup_overdue_hours}h]" in query
    assert default(module, "cleanup_overdue_hours") == 26


@mirrors("The dashboard holds no zero, which the API would leave out.")
def test_the_dashboard_is_the_same_after_it_was_read_back(module: Module) -> None:
    """Else every plan changes it: a place of 0 is one that the API does not return."""
    written = module.resources["google_monitoring_dashboard.this"]["dashboard_json"]
    places = re.search(r"for name, value in \{xPos = .*?\} : name => value if value != 0", written)
    assert places
    assert written.count("xPos") == written.count("yPos") == 1


def test_every_counted_event_is_logged_by_the_function(module: Module) -> None:
    """A renamed event would silence its alert."""
    source = source_of("")
    for name, metric in module.locals["metrics"].items():
        events = re.findall(r'"([a-z]+\.[a-z_]+)"', metric["filter"].replace('\\"', '"'))
        assert events or name == "failed_triggers"
        for event in events:
            assert re.search(rf'(log\.\w+|write)\(\s*"{re.escape(event)}"', source), (name, event)
        for fields in re.findall(r"jsonPayload\.(\w+)", metric["filter"]):
            assert fields == "message" or re.search(rf'"{fields}":|\b{fields}=', source), (name, fields)


def test_every_metric_is_used(module: Module) -> None:
    used = set()
    for text in strings([module.locals["alerts"], module.locals["dashboard_plots"]]):
        used |= set(re.findall(r"local\.promql\.(\w+)", text))
    assert used == set(module.locals["metrics"])


# --- the network --------------------------------------------------------------------------------------


@mirrors(
    "The functions are in the network themselves, and wait for it.",
    "The functions use the connector that was made for them.",
    "The functions use the connector that was given.",
)
def test_the_functions_are_in_the_network_or_use_a_connector(module: Module) -> None:
    assert default(module, "vpc_access") == "direct"
    assert module.locals["is_direct"] == '${var.vpc_connector == null && var.vpc_access == "direct"}'
    assert module.locals["vpc_connector"] == (
        "${one(concat(google_vpc_access_connector.this[*].id, var.vpc_connector[*]))}"
    )
    connector = module.resources["google_vpc_access_connector.this"]
    assert connector["count"] == "${var.vpc_connector == null && !local.is_direct ? 1 : 0}"
    config = one(module.resources["google_cloudfunctions2_function.this"], "service_config")
    assert config["vpc_connector_egress_settings"] == "${local.is_direct ? null : each.value.egress}"
    assert config["direct_vpc_egress"] == '${local.is_direct ? "VPC_EGRESS_${each.value.egress}" : null}'
    interface = dynamic(config, "direct_vpc_network_interface")
    assert interface["for_each"] == "${data.google_compute_subnetwork.this[*].name}"
    assert 'local.is_direct ? {COLD_START_SECONDS = "150"} : {}' in module.locals["common_environment"]


@mirrors("a_subnet_too_small", "sync_now_without_private_google_access")
def test_a_subnet_that_cannot_serve_is_refused(module: Module) -> None:
    subnet = module.data["google_compute_subnetwork.this"]
    assert subnet["count"] == "${local.is_direct ? 1 : 0}"
    size, access = [check["condition"] for check in one(subnet, "lifecycle")["postcondition"]]
    assert size == '${try(tonumber(split("/", self.ip_cidr_range)[1]) <= 26, false)}'
    assert access == "${!(var.sync_now || var.page_actions) || self.private_ip_google_access}"


def test_submit_answers_before_the_platform_ends_it(functions: dict[str, Block]) -> None:
    assert functions["submit"]["timeout"] > CONNECT_SECONDS + READ_TIMEOUT_SECONDS


# --- the cluster --------------------------------------------------------------------------------------


@mirrors("The cluster is left alone unless asked for.")
def test_the_cluster_is_left_alone_unless_asked_for(module: Module) -> None:
    assert default(module, "manage_kubernetes") is False
    assert default(module, "manage_namespace") is False
    found = {
        address: block.get("for_each", block.get("count"))
        for address, block in module.resources.items()
        if address.startswith("kubernetes_")
    }
    assert found == {
        "kubernetes_namespace_v1.this": "${var.manage_kubernetes && var.manage_namespace ? 1 : 0}",
        "kubernetes_network_policy_v1.this": "${var.manage_kubernetes ? local.network_policies : {}}",
        "kubernetes_role_binding_v1.function": "${var.manage_kubernetes ? local.kubernetes_grants : {}}",
        "kubernetes_role_v1.function": "${var.manage_kubernetes ? local.kubernetes_grants : {}}",
    }


@mirrors("Each function's Google identity gets its own Role.")
def test_each_functions_identity_gets_its_own_role(module: Module) -> None:
    roles = {
        document["metadata"]["name"]: document["rules"]
        for document in kubernetes_documents()
        if document["kind"] == "Role"
    }
    for function in FUNCTIONS:
        assert roles[f"flinkjobs-{function}"]
        for rule in roles[f"flinkjobs-{function}"]:
            assert "*" not in rule["verbs"] + rule["resources"] + rule["apiGroups"]
            assert set(rule) <= {"apiGroups", "resources", "resourceNames", "verbs"}
    rule = one(module.resources["kubernetes_role_v1.function"], "dynamic", "rule")
    assert rule["for_each"] == '${local.kubernetes_roles["flinkjobs-${each.value.function}"].rules}'
    assert one(rule, "content") == {
        "api_groups": "${rule.value.apiGroups}",
        "resources": "${rule.value.resources}",
        "resource_names": "${try(rule.value.resourceNames, null)}",
        "verbs": "${rule.value.verbs}",
    }
    binding = module.resources["kubernetes_role_binding_v1.function"]
    assert one(binding, "role_ref", "name") == "${kubernetes_role_v1.function[each.key].metadata[0].name}"
    assert "[account.email, account.unique_id]" in module.locals["kubernetes_users"]


@mirrors("A further namespace of flink_clusters gets the same Roles.")
def test_a_further_namespace_gets_the_same_roles(module: Module) -> None:
    for kind in ("role", "role_binding"):
        metadata = one(module.resources[f"kubernetes_{kind}_v1.function"], "metadata")
        assert metadata["name"] == "${var.prefix}-${each.value.function}"
        assert metadata["namespace"] == "${each.value.namespace}"
    grants = module.locals["kubernetes_grants"]
    assert "setproduct(keys(local.functions), local.further_namespaces)" in grants
    assert "local.kubernetes_namespace" in grants


@mirrors("The namespace has the labels of deploy/kubernetes/namespace.yaml.")
def test_the_namespace_has_its_labels(module: Module) -> None:
    [labels] = [
        document["metadata"]["labels"]
        for document in kubernetes_documents()
        if document["kind"] == "Namespace"
    ]
    assert labels["pod-security.kubernetes.io/enforce"] == "baseline"
    metadata = one(module.resources["kubernetes_namespace_v1.this"], "metadata")
    assert metadata["labels"] == "${merge(local.labels, local.namespace_labels)}"


@mirrors("There is a NetworkPolicy.")
def test_the_network_policies_use_only_what_is_carried_over() -> None:
    policies = [document for document in kubernetes_documents() if document["kind"] == "NetworkPolicy"]
    assert policies
    known = {
        "spec": {"podSelector", "policyTypes", "ingress", "egress"},
        "peer": {"ipBlock", "namespaceSelector", "podSelector"},
        "port": {"port", "protocol"},
    }
    for policy in policies:
        spec = policy["spec"]
        assert set(spec) <= known["spec"]
        selectors = [spec["podSelector"]]
        for rule in [*spec.get("ingress", []), *spec.get("egress", [])]:
            assert set(rule) <= {"from", "to", "ports"}
            for peer in [*rule.get("from", []), *rule.get("to", [])]:
                assert set(peer) <= known["peer"]
                selectors += [peer[name] for name in ("namespaceSelector", "podSelector") if name in peer]
            for port in rule.get("ports", []):
                assert set(port) <= known["port"]
        for selector in selectors:
            assert set(selector) <= {"matchLabels"}


# --- what the providers take --------------------------------------------------------------------------

META = {"count", "depends_on", "for_each", "lifecycle"}


def faults(arguments: Block, schema: Block, where: str) -> list[str]:
    """Arguments that a block's schema does not know or does not let be set, and required ones that lack."""
    blocks, attributes = schema.get("blocks", {}), schema["attributes"]
    nested = {name: value for name, value in arguments.items() if name in blocks}
    for made in arguments.get("dynamic", []):
        [(name, content)] = made.items()
        nested[name] = content["content"]
    given = set(arguments) - {"dynamic"} - set(nested)
    found = [
        f"{where}.{name} cannot be set"
        for name in given
        if name not in attributes or not set(attributes[name][1]) & {"R", "O"}
    ]
    required = {name for name, (_, flags) in attributes.items() if "R" in flags}
    required |= {name for name, block in blocks.items() if block["min"]}
    found += [f"{where}.{name} is required" for name in required - given - set(nested)]
    for name, values in nested.items():
        if name not in blocks:
            found.append(f"{where}.{name} is no block")
            continue
        if blocks[name]["max"] and len(values) > blocks[name]["max"]:
            found.append(f"{where}.{name} occurs too often")
        for value in values:
            found += faults(value, blocks[name], f"{where}.{name}")
    return found


def test_more_blocks_than_a_provider_takes_are_a_fault() -> None:
    schema: Block = json.loads(SCHEMAS.read_text())["google"]["resources"]["google_storage_bucket"]
    rule = {"action": [{"type": "Delete"}], "condition": [{"age": 1}]}
    bucket = {"location": "EU", "name": "b"}
    assert faults({**bucket, "lifecycle_rule": [rule] * 100}, schema, "b") == []
    assert faults({**bucket, "lifecycle_rule": [rule] * 101}, schema, "b") == [
        "b.lifecycle_rule occurs too often"
    ]


LEFT_TO_THE_PROVIDER = [
    ("google_cloud_scheduler_job", "paused"),
    ("google_cloud_scheduler_job", "retry_config.max_doublings"),
    ("google_cloudfunctions2_function", "build_config.environment_variables"),
    ("google_cloudfunctions2_function", "service_config.environment_variables"),
    ("google_cloudfunctions2_function", "service_config.timeout_seconds"),
    ("google_storage_bucket", "lifecycle_rule.condition.with_state"),
    ("google_storage_bucket_object", "storage_class"),
    ("google_vpc_access_connector", "max_throughput"),
    ("kubernetes_role_v1", "metadata.name"),
]


@pytest.mark.parametrize(("kind", "path"), LEFT_TO_THE_PROVIDER)
def test_an_argument_may_be_left_to_the_provider(kind: str, path: str) -> None:
    """It is optional and computed: a double that did not say so would let a plan of Terraform's differ."""
    schema: Block = json.loads(SCHEMAS.read_text())[kind.partition("_")[0]]["resources"][kind]
    *blocks, name = path.split(".")
    for block in blocks:
        schema = schema["blocks"][block]
    assert set(schema["attributes"][name][1]) == {"O", "C"}


@pytest.mark.parametrize("directory", [MODULE, EXAMPLE], ids=["module", "example"])
def test_every_argument_is_one_that_its_provider_takes(directory: Path) -> None:
    read = read_module(directory)
    schemas: Block = json.loads(SCHEMAS.read_text())
    found = []
    for kind, blocks in (("resources", read.resources), ("data", read.data)):
        for address, arguments in blocks.items():
            block_type = address.partition(".")[0]
            schema = schemas[block_type.partition("_")[0]][kind][block_type]
            own = {name: value for name, value in arguments.items() if name not in META}
            found += faults(own, schema, address)
    assert found == []


def test_the_providers_versions_are_ones_whose_arguments_are_known(module: Module) -> None:
    known = {name: schema["versions"] for name, schema in json.loads(SCHEMAS.read_text()).items()}
    for name, provider in one(module.settings, "required_providers").items():
        allowed = SpecifierSet(provider["version"].replace("~>", "~="))
        assert all(allowed.contains(version) for version in known[name]), name


# --- variables, outputs, files ------------------------------------------------------------------------

WRONG = [
    ("sync_cron", "@hourly"),
    ("sync_cron", "*/3 * * *"),
    ("sync_cron", "*/0 * * * *"),
    ("cleanup_cron", "0 2 * *"),
    ("cleanup_cron", "60 2 * * *"),
    ("gke_cluster", "main"),
    ("prefix", "Flink_Jobs"),
    ("prefix", "a-name-of-more-than-twenty"),
    ("notify_channels", "slack://a/b/c"),
    ("notify_channels", "{}"),
    ("webhook_secrets", "whsec_short"),
    ("page_action_secret", "whsec_short"),
    ("webhook_secrets", "whsec_UkVQTEFDRS1USElT"),
    ("flink_rest_url", "10.0.0.5:8081"),
    ("mongodb_uri", "10.0.0.6"),
    ("vpc_connector", "main"),
    ("k8s_namespace", "Lemo_Dev"),
]


@pytest.mark.parametrize(("variable", "value"), WRONG)
@mirrors("wrong_values")
def test_wrong_values_are_refused(module: Module, variable: str, value: str) -> None:
    assert not fits(module, variable, value)


@mirrors("a_name_too_long_for_the_connector")
def test_the_prefix_is_also_a_name_of_a_connector(module: Module) -> None:
    """Serverless VPC Access takes at most 20 characters, and counts a hyphen as two."""
    assert conditions(module, "prefix")[1] == '${length(replace(var.prefix, "-", "--")) <= 20}'
    assert module.resources["google_vpc_access_connector.this"]["name"] == "${var.prefix}"


def test_an_older_python_and_an_unknown_setting_are_refused(module: Module) -> None:
    [runtime] = conditions(module, "runtime")
    assert runtime == '${try(tonumber(trimprefix(var.runtime, "python3")) >= 12, false)}'
    [settings] = conditions(module, "settings")
    assert settings.startswith("${alltrue([for name in keys(var.settings) : contains([")
    assert '"MONGODB_URI"' not in settings


@pytest.mark.parametrize("directory", [MODULE, EXAMPLE], ids=["module", "example"])
def test_every_variable_and_output_is_described_and_in_order(directory: Path) -> None:
    read = read_module(directory)
    assert list(read.variables) == sorted(read.variables)
    assert list(read.outputs) == sorted(read.outputs)
    for name, variable in read.variables.items():
        assert variable["description"].strip(), name
        assert variable["type"], name
    for name, output in read.outputs.items():
        assert output["description"].strip(), name


def test_the_readme_lists_every_variable_and_output(module: Module) -> None:
    _, _, reference = (MODULE / "README.md").read_text().partition("## Inputs")
    rows = [line for line in reference.splitlines() if line.startswith("| `")]
    assert rows == [*inputs_table(module), *outputs_table(module)]


def test_every_variable_and_every_local_is_used(module: Module) -> None:
    text = "\n".join(path.read_text() for path in MODULE.glob("*.tf") if path.name != "variables.tf")
    for name in module.variables:
        assert re.search(rf"\bvar\.{name}\b", text), name
    for name in module.locals:
        assert re.search(rf"\blocal\.{name}\b", text), name


def test_a_value_with_a_rule_is_validated(module: Module) -> None:
    free = {"bundle_dir", "manage_kubernetes", "manage_namespace", "network", "subnetwork", "sync_now"}
    assert {name for name, variable in module.variables.items() if "validation" not in variable} == free


@mirrors("The schedule is the one of terraform.tfvars.", "The budgets follow the frequency.")
def test_the_frequency_of_the_example_is_the_modules() -> None:
    [call] = parse(EXAMPLE / "main.tf")["module"]
    assert call["flinkjobs"]["sync_cron"] == "${var.sync_cron}"
    assert not [name for name in call["flinkjobs"] if name.startswith("sync_") and name.endswith("_seconds")]
    assert read_module(EXAMPLE).outputs["client_environment"]["value"] == (
        "${module.flinkjobs.client_environment}"
    )
    assert 'sync_cron        = "*/3 * * * *"' in (EXAMPLE / "terraform.tfvars.example").read_text()


def test_the_example_gives_what_is_required_and_nothing_unknown(module: Module) -> None:
    blocks = parse(EXAMPLE / "main.tf")
    [call] = blocks["module"]
    arguments = set(call["flinkjobs"]) - {"source"}
    required = {name for name, variable in module.variables.items() if "default" not in variable}
    assert required <= arguments <= set(module.variables)
    example = read_module(EXAMPLE)
    assert example.settings["required_version"] == module.settings["required_version"]
    given = {
        name
        for line in (EXAMPLE / "terraform.tfvars.example").read_text().splitlines()
        for name in re.findall(r"^(\w+) +=", line)
    }
    assert given | {"mongodb_read_uri", "mongodb_uri"} == set(example.variables)


def test_the_example_gives_the_page_a_user_that_only_reads() -> None:
    [call] = parse(EXAMPLE / "main.tf")["module"]
    assert call["flinkjobs"]["mongodb_read_uri"] == "${var.mongodb_read_uri}"
    assert call["flinkjobs"]["mongodb_read_uri_version"] == 1
    assert "default" not in read_module(EXAMPLE).variables["mongodb_read_uri"]


@pytest.mark.parametrize("name", ["run-in-production.md", "run-in-production.zh-CN.md"])
def test_the_commands_of_the_page_name_what_the_example_has(name: str) -> None:
    """A variable that is not declared ends `terraform apply` with an error."""
    text = (ROOT / "docs" / "how-to" / name).read_text()
    example = read_module(EXAMPLE)
    given = re.findall(r"-var '(\w+)=", text) + re.findall(r"TF_VAR_(\w+)=", text)
    assert given
    assert set(given) <= set(example.variables)
    read = re.findall(r"terraform output -(?:raw|json) (\w+)", text)
    assert read
    assert set(read) <= set(example.outputs)


def test_no_file_names_a_provider_without_a_version(module: Module) -> None:
    providers = one(module.settings, "required_providers")
    assert set(providers) == {"archive", "google", "kubernetes", "time"}
    for provider in providers.values():
        assert re.fullmatch(r"~> \d+\.\d+|>= \d+\.\d+, < \d+", provider["version"])
    assert one(read_module(EXAMPLE).settings, "required_providers") == providers
    used = {address.partition("_")[0] for address in [*module.resources, *module.data]}
    assert used == set(providers)
