from tests.e2e.test_health import jobs, BLACKHOLE, FOREVER, SLOTS, HEALTHY, ask, sync
import time, json


def test_dbg(jobs):
    jobs.submit("other", BLACKHOLE, flink_conf=FOREVER)
    jobs.wait_for("other", HEALTHY)
    jobs.submit("wide", BLACKHOLE, parallelism=SLOTS, flink_conf=FOREVER)
    end = time.monotonic() + 40
    while time.monotonic() < end:
        r = sync(jobs.stack)
        time.sleep(2)
        rec = jobs.record("wide")
        o = ask(f"{jobs.stack.flink.rest_url}/jobs/overview")
        j = [x for x in o["jobs"] if x["jid"] == rec["flink_job_id"]]
        print(
            rec["status"],
            rec.get("health"),
            [(x["state"], {k: v for k, v in x["tasks"].items() if v}, x["last-modification"]) for x in j],
            r["errors"],
            flush=True,
        )
    print(list(jobs.records.database["health_marks"].find()), flush=True)
