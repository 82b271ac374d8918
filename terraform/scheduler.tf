# The two triggers, and the order of the budgets:
#
#   the function's own work < its timeout < the attempt's deadline < the time to the next run
#
# so that a pass stops by itself, answers, and is over before the next one begins. In follow mode a call answers
# by second 57 of its minute, before its timeout of 58 s and its deadline of 59 s.

locals {
  # Minutes of the hour at which each schedule runs, sorted; variables.tf holds the expressions to their form.
  schedule_minutes = {
    for name, cron in { cleanup = var.cleanup_cron, sync = var.sync_cron } : name => sort(distinct(flatten([
      for term in split(",", split(" ", cron)[0]) : [
        for minute in range(
          startswith(term, "*") ? 0 : tonumber(split("-", split("/", term)[0])[0]),
          1 + (startswith(term, "*") ? 59 : tonumber(reverse(split("-", split("/", term)[0]))[0])),
          strcontains(term, "/") ? tonumber(split("/", term)[1]) : 1,
        ) : format("%02d", minute)
      ]
    ])))
  }

  # Seconds from each of these minutes to the next.
  schedule_gaps_seconds = {
    for name, minutes in local.schedule_minutes : name => [
      for index, minute in minutes : 60 * (
        index + 1 < length(minutes)
        ? tonumber(minutes[index + 1]) - tonumber(minute)
        : 60 + tonumber(minutes[0]) - tonumber(minute)
      )
    ]
  }

  # The shortest time between two runs, which the budgets have to fit into: the other fields can only make it
  # longer. And the longest, as long as the other fields let it run every hour.
  schedule_period_seconds  = { for name, gaps in local.schedule_gaps_seconds : name => min(gaps...) }
  schedule_longest_seconds = { for name, gaps in local.schedule_gaps_seconds : name => max(gaps...) }

  # Seconds without a complete pass after which sync is overdue.
  sync_overdue_seconds = coalesce(var.sync_overdue_seconds, 3 * local.schedule_longest_seconds.sync)

  # Left to themselves, sync's budgets follow its period: 120, 150 and 165 s of 180, 40, 50 and 55 s of 60.
  schedules = {
    cleanup = {
      cron             = var.cleanup_cron
      description      = "Deletes finished Kubernetes Jobs"
      budget_seconds   = var.cleanup_budget_seconds
      timeout_seconds  = var.cleanup_timeout_seconds
      deadline_seconds = var.cleanup_attempt_deadline_seconds
      period_seconds   = local.schedule_period_seconds.cleanup
    }
    sync = {
      cron             = var.sync_cron
      description      = "Runs a synchronisation pass"
      budget_seconds   = coalesce(var.sync_budget_seconds, min(120, floor(local.schedule_period_seconds.sync * 8 / 12)))
      timeout_seconds  = coalesce(var.sync_timeout_seconds, var.sync_follow_seconds == null ? null : 58, min(150, floor(local.schedule_period_seconds.sync * 10 / 12)))
      deadline_seconds = coalesce(var.sync_attempt_deadline_seconds, var.sync_follow_seconds == null ? null : 59, min(165, floor(local.schedule_period_seconds.sync * 11 / 12)))
      period_seconds   = local.schedule_period_seconds.sync
    }
  }
}

resource "google_cloud_scheduler_job" "this" {
  for_each = local.schedules

  project          = var.project_id
  region           = var.region
  name             = "${var.prefix}-${each.key}"
  description      = each.value.description
  schedule         = each.value.cron
  time_zone        = var.time_zone
  attempt_deadline = "${each.value.deadline_seconds}s"

  retry_config {
    retry_count = 0 # the next run is the retry
  }

  http_target {
    http_method = "POST"
    uri         = google_cloudfunctions2_function.this[each.key].service_config[0].uri
    headers     = { "Content-Type" = "application/json" }
    body        = base64encode("{}")

    oidc_token {
      service_account_email = google_service_account.invoker.email
      audience              = google_cloudfunctions2_function.this[each.key].service_config[0].uri
    }
  }

  lifecycle {
    ignore_changes = [paused] # provider 8.1 resumes a paused schedule where nothing is said of it

    precondition {
      condition = (
        each.value.budget_seconds < each.value.timeout_seconds
        && each.value.timeout_seconds < each.value.deadline_seconds
        && each.value.deadline_seconds < each.value.period_seconds
      )
      error_message = join(" ", [
        "The budgets of ${each.key} must grow: ${each.value.budget_seconds} s of work <",
        "${each.value.timeout_seconds} s function timeout < ${each.value.deadline_seconds} s attempt deadline <",
        "${each.value.period_seconds} s, the shortest time between two runs of ${each.value.cron}.",
      ])
    }

    precondition {
      condition     = each.key != "sync" || var.sync_follow_seconds == null || each.value.timeout_seconds > 57
      error_message = "In follow mode a call of sync works for up to 57 s: its timeout must be longer."
    }
  }

  depends_on = [google_cloud_run_v2_service_iam_member.invoker]
}
