# Metrics from the functions' log lines and from Cloud Run, alerts and a dashboard on them.
#
# Conditions are PromQL. It can say "no complete pass" when there is no sample because nothing runs, it
# looks back further than the 23.5 hours at which metric-absence conditions end, and it takes a metric that
# has no time series yet, as in a new project.

locals {
  metric_prefix = replace(var.prefix, "-", "_")
  sync_period   = local.schedule_longest_seconds.sync
  alert_window  = max(600, 2 * local.sync_period) # longer than one period, so that no line is missed

  log_of = {
    for function in keys(local.functions) : function => join(" AND ", [
      "resource.type=\"cloud_run_revision\"",
      "resource.labels.service_name=\"${local.service_names[function]}\"",
    ])
  }
  log_of_schedules = join(" AND ", [
    "resource.type=\"cloud_scheduler_job\"",
    "resource.labels.job_id=(${join(" OR ", [for name in keys(local.schedules) : "\"${var.prefix}-${name}\""])})",
  ])

  # What is counted: lines of the functions' logs, by the name of their event (the field `message`).
  metrics = {
    complete_passes = {
      description = "Synchronisation passes over everything that came to their end"
      resource    = "cloud_run_revision"
      filter      = "${local.log_of.sync} AND jsonPayload.message=\"sync.pass\" AND jsonPayload.complete=true AND jsonPayload.whole=true"
    }
    cleanups = {
      description = "Runs of cleanup that deleted what may go"
      resource    = "cloud_run_revision"
      filter      = "${local.log_of.cleanup} AND jsonPayload.message=\"cleanup.run\" AND jsonPayload.dry_run=false"
    }
    failed_runs = {
      description = "Runs of sync and cleanup that ended with an error"
      resource    = "cloud_run_revision"
      filter      = "((${local.log_of.sync}) OR (${local.log_of.cleanup})) AND jsonPayload.message=(\"request.refused\" OR \"request.crashed\") AND severity>=ERROR"
    }
    failed_triggers = {
      description = "Attempts of Cloud Scheduler that got no 2xx answer in time"
      resource    = "cloud_scheduler_job"
      filter      = "${local.log_of_schedules} AND severity>=ERROR"
    }
    failed_notifications = {
      description = "Requests to a notification channel that it has not taken"
      resource    = "cloud_run_revision"
      filter      = "${local.log_of.sync} AND jsonPayload.message=\"notify.failed\""
    }
    lost_jobs = {
      description = "Records that became LOST"
      resource    = "cloud_run_revision"
      filter      = "${local.log_of.sync} AND jsonPayload.message=\"job.moved\" AND jsonPayload.status=\"LOST\""
    }
    unhealthy_jobs = {
      description = "Open jobs that became unhealthy"
      resource    = "cloud_run_revision"
      filter      = "${local.log_of.sync} AND jsonPayload.message=\"job.health\" AND jsonPayload.state=\"unhealthy\""
    }
    submissions = {
      description = "Jobs that submit accepted"
      resource    = "cloud_run_revision"
      filter      = "${local.log_of.submit} AND jsonPayload.message=\"job.submitted\""
    }
  }

  # The same in PromQL; a log-based metric may belong to several kinds of resource, so its kind is named.
  promql = {
    for name, metric in local.metrics : name =>
    "logging_googleapis_com:user_${local.metric_prefix}_${name}{monitored_resource=\"${metric.resource}\"}"
  }

  # Answers with an error as Cloud Run counts them, those of an instance that did not start included.
  errors_of = {
    for function in ["jobs", "submit"] : function => join("", [
      "run_googleapis_com:request_count{monitored_resource=\"cloud_run_revision\", ",
      "service_name=\"${local.service_names[function]}\", response_code_class=\"5xx\"}",
    ])
  }

  alerts = {
    cleanup_overdue = {
      title = "cleanup is older than ${var.cleanup_overdue_hours} hours"
      query = join(" and on() ", [ # the second half: it was deployed that long ago
        "((sum(increase(${local.promql.cleanups}[${var.cleanup_overdue_hours}h])) or vector(0)) < 0.5)",
        "(sum(increase(${local.promql.complete_passes}[3h] offset ${var.cleanup_overdue_hours}h)) > 0)",
      ])
      duration = 0
      severity = "WARNING"
      advice   = <<-EOT
        No run of cleanup has come to its end for more than ${var.cleanup_overdue_hours} hours: finished Kubernetes Jobs pile up.
        Is its schedule paused? What did its last attempt answer? `flinkjobs schedules list` shows both,
        `flinkjobs schedules run cleanup` runs it now.
      EOT
    }
    jobs_lost = {
      title    = "jobs are LOST"
      query    = "sum(increase(${local.promql.lost_jobs}[${local.alert_window}s])) > 0"
      duration = 0
      severity = "ERROR"
      advice   = <<-EOT
        Flink answers, but no longer knows jobs that were running: how they ended is unknown.
        Most often its JobManager was restarted without high availability. The records are those with the
        status LOST; they go back by themselves if the jobs reappear.
      EOT
    }
    jobs_unhealthy = {
      title    = "jobs are unhealthy"
      query    = "sum(increase(${local.promql.unhealthy_jobs}[${local.alert_window}s])) > 0"
      duration = 0
      severity = "WARNING"
      advice   = <<-EOT
        Jobs that run restart again and again, wait for slots, or have failing checkpoints. `flinkjobs jobs
        --needs-attention` lists them, `flinkjobs show ID` says why and what to do. Thresholds are HEALTH_MAX_RESTARTS,
        HEALTH_WINDOW_SECONDS and HEALTH_WAIT_SECONDS.
      EOT
    }
    no_complete_pass = {
      title    = "no complete pass for three periods"
      query    = "(sum(increase(${local.promql.complete_passes}[${local.sync_overdue_seconds - 2 * local.sync_period}s])) or vector(0)) < 0.5"
      duration = 2 * local.sync_period
      severity = "CRITICAL"
      advice   = <<-EOT
        The status of every job is older than it should be. Is the schedule of sync paused, do its attempts
        fail (`flinkjobs schedules list`), or does a pass run out of its time (`"complete": false` in its log)?
      EOT
    }
    pass_failed = {
      title = "a pass failed"
      query = join(" or ", [
        "sum(increase(${local.promql.failed_runs}[${local.alert_window}s])) > 0",
        "sum(increase(${local.promql.failed_triggers}[${local.alert_window}s])) > 0",
      ])
      duration = 0
      severity = "ERROR"
      advice   = <<-EOT
        A run of sync or cleanup answered with an error, or not in time. The function's log says why: the
        fields `code` and `detail` of the event `request.refused`, or the stack of `request.crashed`. If it
        has no line at all, it did not start: a setting is missing or wrong, or the call was not permitted.
      EOT
    }
    notifications_failed = {
      title    = "a notification channel takes no events"
      query    = "sum(increase(${local.promql.failed_notifications}[6h])) > 3" # one pass tries three times
      duration = 0
      severity = "WARNING"
      advice   = <<-EOT
        sync could not send events to one of the channels of NOTIFY_CHANNELS, and tries again for 24 hours. The field
        `error` of the event `notify.failed` in its log says why; `flinkjobs notify list` shows every channel,
        `flinkjobs notify test CHANNEL` sends it a test, `flinkjobs notify retry CHANNEL` ends its waiting time.
      EOT
    }
    page_failed = {
      title    = "the page fails for ten minutes"
      query    = "sum(increase(${local.errors_of.jobs}[5m])) > 0"
      duration = 600 # longer than one error is seen: an instance that has just started may answer 503
      severity = "WARNING"
      advice   = <<-EOT
        jobs answers with errors, so the page shows no jobs. Its log says why: the fields `code` and
        `detail` of the event `request.refused`, or the stack of `request.crashed`. Without such a line it
        did not start: a setting is missing or wrong.
      EOT
    }
    submit_failed = {
      title    = "a submission failed"
      query    = "sum(increase(${local.errors_of.submit}[10m])) > 0"
      duration = 0
      severity = "ERROR"
      advice   = <<-EOT
        submit answered with an error: unless its caller repeats the request, a job is not run. The function's
        log says why: the fields `code` and `detail` of the event `request.refused`, or the stack of
        `request.crashed`. Without such a line it did not start: a setting is missing or wrong.
      EOT
    }
  }

  dashboard_plots = [
    { title = "Complete passes", query = "sum(increase(${local.promql.complete_passes}[10m]))" },
    { title = "Failed runs", query = "sum(increase(${local.promql.failed_runs}[10m]))" },
    { title = "Failed attempts of the schedules", query = "sum(increase(${local.promql.failed_triggers}[10m]))" },
    { title = "Jobs submitted", query = "sum(increase(${local.promql.submissions}[10m]))" },
    { title = "Events not sent", query = "sum(increase(${local.promql.failed_notifications}[10m]))" },
    { title = "Jobs LOST", query = "sum(increase(${local.promql.lost_jobs}[10m]))" },
    { title = "Jobs that became unhealthy", query = "sum(increase(${local.promql.unhealthy_jobs}[10m]))" },
    { title = "Errors of submit and jobs", query = "sum(increase(${local.errors_of.jobs}[10m])) + sum(increase(${local.errors_of.submit}[10m]))" },
    { title = "Runs of cleanup", query = "sum(increase(${local.promql.cleanups}[1h]))" },
    {
      title = "Seconds per request, 95th percentile"
      query = "histogram_quantile(0.95, sum by (le, service_name) (rate(run_googleapis_com:request_latencies_bucket{monitored_resource=\"cloud_run_revision\", service_name=~\"${var.prefix}-.*\"}[10m]))) / 1000"
    },
    {
      title = "Share of memory used, 99th percentile"
      query = "histogram_quantile(0.99, sum by (le, service_name) (rate(run_googleapis_com:container_memory_utilizations_bucket{monitored_resource=\"cloud_run_revision\", service_name=~\"${var.prefix}-.*\"}[10m])))"
    },
  ]
}

resource "google_logging_metric" "this" {
  for_each = local.metrics

  project     = var.project_id
  name        = "${local.metric_prefix}_${each.key}"
  description = each.value.description
  filter      = each.value.filter

  metric_descriptor {
    metric_kind = "DELTA"
    value_type  = "INT64"
    unit        = "1"
  }

  depends_on = [time_sleep.services]
}

resource "google_monitoring_alert_policy" "this" {
  for_each = local.alerts

  project               = var.project_id
  display_name          = "${var.prefix}: ${each.value.title}"
  combiner              = "OR"
  severity              = each.value.severity
  notification_channels = var.notification_channels
  user_labels           = local.labels

  conditions {
    display_name = each.value.title

    condition_prometheus_query_language {
      query                     = each.value.query
      duration                  = "${each.value.duration}s"
      evaluation_interval       = "60s"
      disable_metric_validation = true # a new project has not written the metric yet
    }
  }

  alert_strategy {
    auto_close = "86400s"
  }

  documentation {
    mime_type = "text/markdown"
    content   = each.value.advice
  }

  depends_on = [google_logging_metric.this]
}

resource "google_monitoring_dashboard" "this" {
  project = var.project_id

  dashboard_json = jsonencode({
    displayName = var.prefix
    mosaicLayout = {
      columns = 48
      tiles = [
        for index, plot in local.dashboard_plots : merge(
          # The API leaves a 0 out of its answer; said here, it would be a change in every plan.
          { for name, value in { xPos = 24 * (index % 2), yPos = 12 * floor(index / 2) } : name => value if value != 0 },
          {
            width  = 24
            height = 12
            widget = {
              title = plot.title
              xyChart = {
                dataSets = [{
                  plotType        = "LINE"
                  targetAxis      = "Y1"
                  timeSeriesQuery = { prometheusQuery = plot.query }
                }]
              }
            }
          },
        )
      ]
    }
  })

  depends_on = [google_logging_metric.this]
}
