"""The command `doctor`: what it prints, how it ends, and that it changes nothing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from doubles.kubernetes.faults import Outcome, PodFault
from tests.integration.doctor.conftest import Doctor
from tests.integration.doctor.system import System, env_file
from tests.support.flink_rest_server import FlinkServer

SECONDS = 60.0


def verdicts(text: str) -> dict[str, str]:
    """The verdict of each check."""
    rows = [line.split()[:2] for line in text.splitlines() if line[:1] not in (" ", "")]
    return {row[1]: row[0] for row in rows[:-1]}


def findings(text: str) -> dict[str, dict[str, Any]]:
    """The findings of `--json` by their check."""
    return {finding["check"]: finding for finding in json.loads(text)["findings"]}


def test_all_is_well(doctor: Doctor) -> None:
    result = doctor()
    assert result.exit_code == 0, result.output
    assert result.stdout.splitlines()[-1] == "All is well."
    assert set(verdicts(result.stdout).values()) == {"ok"}
    assert list(verdicts(result.stdout)) == [
        "settings",
        "mongodb",
        "mongodb.write",
        "mongodb.indexes",
        "kubernetes",
        "kubernetes.identity",
        "kubernetes.role",
        "flink.default",
        "history.default",
        "function.sync",
        "function.cleanup",
        "schedule.sync",
        "schedule.cleanup",
        "sync.pass",
        "sync.errors",
        "cleanup.run",
        "records.created",
        "records.no-id",
        "records.lost",
        "records.health",
    ]


def test_json_for_a_monitor(system: System, doctor: Doctor) -> None:
    before = datetime.now(UTC)
    report = json.loads(doctor("--json").stdout)
    assert set(report) == {"healthy", "checked_at", "findings"}
    assert report["healthy"] is True
    assert before <= datetime.fromisoformat(report["checked_at"]) <= datetime.now(UTC)
    assert report["findings"][1] == {
        "check": "mongodb",
        "verdict": "ok",
        "evidence": f"MongoDB 6.0.5 at 127.0.0.1:{system.mongo.port}",
        "next_step": "",
        "code": "",
    }
    system.environ["FLINK_REST_URL"] = "http://127.0.0.1:1"
    result = doctor("--json")
    assert result.exit_code == 1
    assert json.loads(result.stdout)["healthy"] is False
    failing = findings(result.stdout)["flink.default"]
    assert (failing["verdict"], failing["code"]) == ("fail", "FLINK_UNAVAILABLE")
    assert failing["next_step"].startswith("Start the JobManager")


def test_as_a_process_with_nothing_but_json_on_standard_output(system: System, tmp_path: Path) -> None:
    kubeconfig = system.kubernetes.kubeconfig(tmp_path / "kubeconfig", token="s3cret-token")
    system.environ["KUBECONFIG"] = str(kubeconfig)
    settings = env_file(tmp_path / "settings.env", system.environ)
    command = [sys.executable, "-m", "flinkjobs.cli", "--env-file", str(settings), "doctor", "--json"]
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
        timeout=SECONDS,
    )
    assert (done.returncode, done.stderr) == (1, "")
    assert findings(done.stdout)["kubernetes"]["code"] == "KUBERNETES_UNAUTHORIZED"
    assert findings(done.stdout)["kubernetes.role"]["verdict"] == "skipped"
    assert "s3cret" not in done.stdout


def test_nothing_is_changed(system: System, doctor: Doctor) -> None:
    system.kubernetes.control.add(PodFault(effect="image-pull"))
    system.submit()
    system.database["flink_jobs"].drop_index("status_1")
    collections = [name for name in system.database.list_collection_names() if name != "leases"]

    def everything() -> dict[str, list[Any]]:
        return {name: list(system.database[name].find()) for name in collections}

    before = everything()
    system.kubernetes.control.reset_requests()
    attempts = len(system.scheduler.attempts())
    for _ in range(2):
        assert findings(doctor("--json").stdout)["mongodb.indexes"]["code"] == "INDEX_MISSING"
    assert everything() == before
    assert "status_1" not in system.database["flink_jobs"].index_information()
    assert {lease["holder"] for lease in system.database["leases"].find()} == {None}
    assert len(system.scheduler.attempts()) == attempts
    asked = {what.split(" ", 1)[0] for what in system.kubernetes.requests() if "reviews" not in what}
    assert asked == {"get", "list"}


def test_without_a_scheduler_the_schedules_are_not_checked(system: System, doctor: Doctor) -> None:
    del system.environ["SCHEDULER_PARENT"]
    result = doctor("--json")
    assert result.exit_code == 0
    assert findings(result.stdout)["schedule"] == {
        "check": "schedule",
        "verdict": "skipped",
        "evidence": "not checked: SCHEDULER_PARENT is not set",
        "next_step": "",
        "code": "",
    }


def test_settings_that_are_missing_are_a_finding(system: System, doctor: Doctor) -> None:
    del system.environ["MONGODB_URI"]
    result = doctor()
    assert result.exit_code == 1
    assert result.stdout.splitlines()[0].endswith("SETTINGS: MONGODB_URI is required and not set")


def test_without_the_settings_of_the_functions_their_outside_is_checked_all_the_same(
    system: System, doctor: Doctor
) -> None:
    """Who has only URLs still learns whether the functions answer and the schedules ring."""
    del system.environ["MONGODB_URI"]
    with system.schedules() as schedules:
        schedules.pause("flinkjobs-sync")
    report = findings(doctor("--json").stdout)
    assert next(iter(report)) == "settings"
    assert report["mongodb"]["verdict"] == "skipped"
    assert (report["function.sync"]["verdict"], report["function.cleanup"]["verdict"]) == ("ok", "ok")
    assert report["schedule.sync"]["code"] == "SCHEDULE_PAUSED"
    assert report["schedule.cleanup"]["verdict"] == "ok"


def test_one_of_two_clusters_is_down(system: System, doctor: Doctor) -> None:
    with FlinkServer() as gone:
        url = gone.url
    system.environ["FLINK_CLUSTERS"] = json.dumps({"batch": {"rest_url": url}})
    report = findings(doctor("--json").stdout)
    assert (report["flink.default"]["verdict"], report["flink.batch"]["verdict"]) == ("ok", "fail")
    assert "history.batch" not in report


def test_of_a_job_that_waits_nothing_is_claimed_while_kubernetes_is_away(
    system: System, doctor: Doctor, tmp_path: Path
) -> None:
    system.kubernetes.control.add(PodFault(effect="image-pull"))
    system.submit()
    kubeconfig = system.kubernetes.kubeconfig(tmp_path / "away", server="http://127.0.0.1:1")
    system.environ["KUBECONFIG"] = str(kubeconfig)
    report = findings(doctor("--json").stdout)
    assert report["kubernetes"]["code"] == "KUBERNETES_UNAVAILABLE"
    assert report["records.created"]["code"] == "CAUSE_UNKNOWN"
    assert "Kubernetes does not answer" in report["records.created"]["evidence"]


def test_the_oldest_of_many_that_wait_are_looked_at(system: System, doctor: Doctor) -> None:
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    system.database["flink_jobs"].insert_many(
        {
            "job_id": f"etl_{number}",
            "status": "CREATED",
            "submitted_at": an_hour_ago + timedelta(seconds=number),
            "k8s_job_name": f"gone-{number}",
            "revision": 0,
        }
        for number in range(25)
    )
    system.kubernetes.control.reset_requests()
    failing = [
        (finding["code"], finding["evidence"].split(":")[0])
        for finding in json.loads(doctor("--json").stdout)["findings"]
        if finding["verdict"] == "fail"
    ]
    assert failing == [
        ("K8S_JOB_MISSING", "20 jobs CREATED for longer than 5 min"),
        ("CAUSE_UNKNOWN", "5 jobs CREATED for longer than 5 min"),
    ]
    assert system.kubernetes.requests()["get jobs"] == 20


def test_records_of_the_old_platform_and_documents_that_are_none(system: System, doctor: Doctor) -> None:
    system.database["flink_jobs"].insert_many(
        [
            {"job_id": "old_1", "status": "CREATED", "submitted_at": "2025-11-01T12:00:00"},
            {"job_id": "broken_1", "status": "CREATED", "submitted_at": "yesterday"},
        ]
    )
    report = findings(doctor("--json").stdout)
    assert report["records.created"]["code"] == "K8S_JOB_UNKNOWN"
    assert "old_1, " in report["records.created"]["evidence"]
    assert report["records.unreadable"]["verdict"] == "warn"
    assert "broken_1: ValueError" in report["records.unreadable"]["evidence"]


def test_what_a_script_has_printed_cannot_play_with_the_terminal(system: System, doctor: Doctor) -> None:
    log = "Traceback (most recent call last):\n  File x\nValueError: \x1b]0;owned\x07 [bold]\x9b31m\u202e\n"
    system.submit_and_end(Outcome(exit_code=31, log=log))
    result = doctor()
    assert "ValueError:" in result.stdout
    assert "[bold]" in result.stdout
    assert not {"\x1b", "\x07", "\x9b", "\u202e"} & set(result.stdout)
