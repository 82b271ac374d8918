"""The statistics in Prometheus' text format, by the official client library.

Names and units: https://prometheus.io/docs/practices/naming/
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4, generate_latest
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric, SummaryMetricFamily
from prometheus_client.registry import Collector

CONTENT_TYPE: Final = CONTENT_TYPE_PLAIN_0_0_4

_QUANTILES: Final = {"p50": "0.5", "p95": "0.95"}


def exposition(metrics: Mapping[str, Any]) -> bytes:
    """The text for one scrape.

    Args:
        metrics: the result of `jobs.service.metrics`. A value that does not exist, such as the average of
            no durations, has no sample.
    """
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_StatisticsCollector(metrics))
    return generate_latest(registry)


class _StatisticsCollector(Collector):
    def __init__(self, metrics: Mapping[str, Any]) -> None:
        self._metrics = metrics

    def collect(self) -> Iterator[Metric]:
        windows, sync = self._metrics["windows"], self._metrics["sync"]
        yield _gauge("flinkjobs_jobs", "Records by status.", ["status"], _by_status(windows["all"]))
        yield _gauge(
            "flinkjobs_jobs_submitted",
            "Records submitted within the window, by status.",
            ["window", "status"],
            {
                (name, *key): count
                for name, window in windows.items()
                for key, count in _by_status(window).items()
            },
        )
        yield _durations(windows)
        for word, name in (("average", "average"), ("min", "minimum"), ("max", "maximum")):
            yield _gauge(
                f"flinkjobs_job_duration_{name}_seconds",
                f"The {name} duration of FINISHED jobs submitted within the window.",
                ["window"],
                {(name,): window["durations"][word] for name, window in windows.items()},
            )
        for key, metric, text in (
            ("failure_rate_percent", "flinkjobs_failure_ratio", "FAILED / all jobs of the window."),
            (
                "flink_failure_rate_percent",
                "flinkjobs_flink_failure_ratio",
                "Failed in Flink / (finished + failed in Flink), of the jobs of the window.",
            ),
        ):
            yield _gauge(
                metric, text, ["window"], {(name,): _ratio(window[key]) for name, window in windows.items()}
            )
        yield _gauge(
            "flinkjobs_jobs_never_submitted",
            "FAILED jobs of the window without a Flink Job ID.",
            ["window"],
            {(name,): window["never_submitted"] for name, window in windows.items()},
        )
        yield _gauge(
            "flinkjobs_jobs_stopped",
            "FINISHED jobs of the window that a stop has ended.",
            ["window"],
            {(name,): window["stopped"] for name, window in windows.items()},
        )
        yield _gauge(
            "flinkjobs_last_complete_sync_age_seconds",
            "Since the last complete synchronisation pass began; no sample when there was none.",
            [],
            {(): sync["age_seconds"]},
        )
        yield _gauge(
            "flinkjobs_sync_stale",
            "1 when the last complete pass is older than three periods, or there was none.",
            [],
            {(): int(sync["stale"])},
        )
        yield _gauge(
            "flinkjobs_last_cleanup_age_seconds",
            "Since the last cleanup run began; no sample when there was none.",
            [],
            {(): self._metrics["cleanup"]["age_seconds"]},
        )
        yield _gauge(
            "flinkjobs_cluster_reachable",
            "1 when the last pass reached the Flink cluster.",
            ["cluster"],
            {(name,): int(cluster["reachable"]) for name, cluster in sync["clusters"].items()},
        )
        yield _gauge(
            "flinkjobs_unmanaged_jobs",
            "Running Flink jobs that belong to no record; no sample where the last pass does not say.",
            ["cluster"],
            {(name,): cluster["unmanaged"] for name, cluster in sync["clusters"].items()},
        )
        yield _gauge(
            "flinkjobs_problems",
            "Number of jobs, or peers, with a problem, by kind and cause.",
            ["problem", "code"],
            _problem_counts(self._metrics["problems"]),
        )
        health = self._metrics["health"]
        yield _gauge(
            "flinkjobs_open_jobs",
            "Open records by health; unknown where the cluster did not answer the last pass.",
            ["health"],
            {(state,): count for state, count in health["by_state"].items()},
        )
        yield _gauge(
            "flinkjobs_restarts",
            "Restarts of open jobs within HEALTH_WINDOW_SECONDS.",
            ["template"],
            {(one["template_id"] or "",): one["restarts"] for one in health["templates"]},
        )
        yield _gauge(
            "flinkjobs_checkpoint_age_seconds",
            "Age of the newest checkpoint of the open job whose is the oldest; no sample without any.",
            ["template"],
            {(one["template_id"] or "",): one["oldest_checkpoint_seconds"] for one in health["templates"]},
        )
        notifications = self._metrics["notifications"]
        yield _gauge(
            "flinkjobs_notifications_pending",
            "Jobs and clusters with events that are not sent to every channel.",
            [],
            {(): notifications["pending"]},
        )
        yield _gauge(
            "flinkjobs_notifications_oldest_pending_seconds",
            "Age of the oldest event that is not sent to every channel; no sample without any.",
            [],
            {(): notifications["oldest_pending_seconds"]},
        )
        yield _deliveries(notifications["channels"])


def _gauge(name: str, text: str, labels: list[str], values: Mapping[tuple[str, ...], float | None]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for key, value in values.items():
        if value is not None:
            family.add_metric(list(key), value)
    return family


def _by_status(window: Mapping[str, Any]) -> dict[tuple[str, ...], float | None]:
    return {(status,): count for status, count in window["by_status"].items()}


def _durations(windows: Mapping[str, Any]) -> Metric:
    family = SummaryMetricFamily(
        "flinkjobs_job_duration_seconds",
        "Durations of FINISHED jobs submitted within the window, by Flink's clock.",
        labels=["window"],
    )
    for name, window in windows.items():
        found = window["durations"]
        family.add_metric([name], found["count"], (found["average"] or 0.0) * found["count"])
        for word, quantile in _QUANTILES.items():
            if found[word] is not None:
                family.add_sample(family.name, {"window": name, "quantile": quantile}, found[word])
    return family


def _deliveries(channels: Sequence[Mapping[str, Any]]) -> Metric:
    family = CounterMetricFamily(
        "flinkjobs_notifications",
        "Events by channel and result; each failed attempt counts.",
        labels=["channel", "result"],
    )
    for channel in channels:
        for result in ("delivered", "failed", "set_aside"):
            family.add_metric([channel["name"], result], channel[result])
    return family


def _ratio(percent: float | None) -> float | None:
    return None if percent is None else percent / 100


def _problem_counts(problems: list[Mapping[str, Any]]) -> dict[tuple[str, ...], float | None]:
    counted: dict[tuple[str, ...], float | None] = {}
    for entry in problems:
        key = (entry["problem"], entry["code"])
        counted[key] = (counted.get(key) or 0) + entry["count"]
    return counted
