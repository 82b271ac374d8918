"""What a submitter that has failed without an id proves by its output."""

from __future__ import annotations

import pytest

from flinkjobs.domain.submission_proof import proves_nothing_submitted
from tests.support.recordings import cli_log

CLI_FAILED = 31

LOST_ANSWERS = {
    "no answer came": "org.apache.flink.runtime.rest.ConnectionIdleException: Channel became idle.",
    "the connection was closed": (
        "org.apache.flink.runtime.rest.ConnectionClosedException: Channel became inactive."
    ),
    "the connection was reset": "java.io.IOException: Connection reset by peer",
    "the JobManager timed out": "java.util.concurrent.TimeoutException",
    "a proxy answered instead, with JSON": (
        "org.apache.flink.runtime.rest.util.RestClientException: Response was neither of the expected type("
        "[simple type, class org.apache.flink.runtime.rest.messages.job.JobSubmitResponseBody]) nor an error."
    ),
    "a proxy answered instead, with a page": (
        "org.apache.flink.runtime.rest.util.RestClientException: Response was not valid JSON, but "
        "plain-text: <html><head><title>504 Gateway Time-out</title></head></html>"
    ),
    "an earlier attempt was accepted": (
        "org.apache.flink.runtime.client.DuplicateJobSubmissionException: Job has already been submitted."
    ),
    "an earlier attempt was accepted, in the words of Flink 2": (
        "org.apache.flink.runtime.client.DuplicateApplicationSubmissionException: "
        "Application has already been submitted."
    ),
}


@pytest.mark.parametrize("cause", LOST_ANSWERS.values(), ids=LOST_ANSWERS)
def test_proves_nothing_submitted_of_a_client_that_lost_the_answer_is_false(cause: str) -> None:
    """The JobManager may have accepted the job."""
    output = (
        "org.apache.flink.runtime.client.JobSubmissionException: Failed to submit JobGraph.\n"
        f"Caused by: {cause}\n"
    )
    assert not proves_nothing_submitted(output, CLI_FAILED)


@pytest.mark.parametrize("version", ["1.20", "2.3"])
@pytest.mark.parametrize("recording", ["ds_finish--unreachable.detached", "raise_before_submit.detached"])
def test_proves_nothing_submitted_of_a_client_without_a_jobmanager_or_a_submission_is_true(
    version: str, recording: str
) -> None:
    assert proves_nothing_submitted(cli_log(version, recording), CLI_FAILED)
