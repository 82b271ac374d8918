"""Submits, lists, shows and syncs a job with generated clients; run by `test_generated_client.py`.

It is run in the environment of the generator, where the clients' packages are on the path. It prints JSON.
"""
# mypy: ignore-errors

import json
import sys

from jobs_client import Client as JobsClient
from jobs_client.api.jobs import list_jobs, show_job, sync_job
from jobs_client.models import ListJobsSort, SyncJobXFlinkjobs
from submit_client import Client as SubmitClient
from submit_client.api.submit import submit
from submit_client.models import ScriptType0, Submission
from sync_client import Client as SyncClient
from sync_client.api.sync import sync
from sync_client.models import SyncBody


def main(submit_url: str, sync_url: str, jobs_url: str) -> None:
    jobs = JobsClient(base_url=jobs_url, raise_on_unexpected_status=True)
    body = Submission(template_id="etl", script=ScriptType0(path="/opt/a.py"), submitted_by="ann")
    accepted = submit.sync(client=SubmitClient(base_url=submit_url), body=body)
    listed = list_jobs.sync(client=jobs, submitted_by="an*", sort=ListJobsSort.SUBMITTED_AT)
    again = list_jobs.sync_detailed(
        client=jobs,
        submitted_by="an*",
        sort=ListJobsSort.SUBMITTED_AT,
        if_none_match=list_jobs.sync_detailed(client=jobs, submitted_by="an*").headers["etag"],
    )
    only = list_jobs.sync(client=jobs, fields="job_id,status")
    shown = show_job.sync(accepted.job_id, client=jobs)
    whole = sync.sync(client=SyncClient(base_url=sync_url), body=SyncBody())
    one = sync_job.sync(accepted.job_id, client=jobs, x_flinkjobs=SyncJobXFlinkjobs.VALUE_0)
    unknown = show_job.sync("unknown_1", client=jobs)
    result = {
        "accepted": accepted.to_dict(),
        "listed": listed.to_dict(),
        "again": again.status_code,
        "only": only.to_dict()["jobs"],
        "shown": shown.to_dict()["job"],
        "scanned": [whole.scanned, one.scanned],
        "unknown": unknown.to_dict(),
    }
    json.dump(result, sys.stdout)


if __name__ == "__main__":
    main(*sys.argv[1:])
