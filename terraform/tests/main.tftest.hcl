# `terraform test` runs these with mocked providers: no account, nothing is made. tests/terraform/ holds every
# assertion of this file too, for where no registry can be reached.

mock_provider "archive" {}

mock_provider "google" {
  mock_data "google_compute_subnetwork" {
    defaults = {
      ip_cidr_range            = "10.132.0.0/26"
      private_ip_google_access = true
    }
  }
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }
}

mock_provider "kubernetes" {}

mock_provider "time" {}

variables {
  bundle_dir     = "../functions" # any directory with a main.py for each function
  flink_image    = "registry.example.com/flink:1.20"
  flink_rest_url = "http://10.0.0.5:8081"
  gke_cluster    = "projects/my-project/locations/europe-west1/clusters/main"
  # Ephemeral variables that are not set cannot be applied within a test.
  mongodb_read_uri   = "mongodb://reader@10.0.0.6"
  mongodb_uri        = "mongodb://writer@10.0.0.6"
  notify_channels    = "[{\"name\": \"ops\", \"type\": \"chat\", \"url\": \"slack://a/b/c\"}]"
  webhook_secrets    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
  page_action_secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
  project_id         = "my-project"
}

run "defaults" {
  command = apply

  assert {
    condition = alltrue([for name in ["sync", "cleanup"] : (
      google_cloudfunctions2_function.this[name].service_config[0].max_instance_count == 1
      && google_cloudfunctions2_function.this[name].service_config[0].max_instance_request_concurrency == 1
    )])
    error_message = "sync and cleanup run one at a time."
  }

  assert {
    condition = alltrue([for name in ["sync", "cleanup"] :
      google_cloudfunctions2_function.this[name].service_config[0].ingress_settings == "ALLOW_INTERNAL_ONLY"
    ])
    error_message = "sync and cleanup cannot be reached from outside."
  }

  assert {
    condition = alltrue([for name, job in google_cloud_scheduler_job.this : (
      job.http_target[0].uri == google_cloudfunctions2_function.this[name].service_config[0].uri
      && job.http_target[0].oidc_token[0].audience == job.http_target[0].uri
    )])
    error_message = "Each schedule calls its function's own address, which is also the token's audience."
  }

  assert {
    condition = (
      tomap({ for name, job in google_cloud_scheduler_job.this : name => job.schedule })
      == tomap({ cleanup = "0 2 * * *", sync = "*/3 * * * *" })
    )
    error_message = "sync runs every three minutes, cleanup every night."
  }

  assert {
    condition = alltrue([for name, job in google_cloud_scheduler_job.this : (
      local.schedules[name].budget_seconds == 120
      && google_cloudfunctions2_function.this[name].service_config[0].timeout_seconds == 150
      && google_cloudfunctions2_function.this[name].service_config[0].environment_variables["SYNC_BUDGET_SECONDS"] == "120"
      && job.attempt_deadline == "165s"
      && job.retry_config[0].retry_count == 0
    )])
    error_message = "The budgets grow: 120 s of work, 150 s timeout, 165 s deadline."
  }

  assert {
    condition     = local.schedules.sync.period_seconds == 180 && local.schedules.cleanup.period_seconds == 3600
    error_message = "The time between two runs follows from the cron expression."
  }

  assert {
    condition = (
      toset(keys(google_cloud_run_v2_service_iam_member.invoker)) == toset(["cleanup:scheduler", "sync:scheduler"])
      && alltrue([for grant in google_cloud_run_v2_service_iam_member.invoker : (
        grant.role == "roles/run.invoker" && grant.member == google_service_account.invoker.member
      )])
    )
    error_message = "Only Cloud Scheduler may call by default."
  }

  assert {
    condition = alltrue([for function in google_cloudfunctions2_function.this :
      function.build_config[0].runtime == "python312"
    ])
    error_message = "The functions run on Python 3.12."
  }

  assert {
    condition = (
      google_storage_bucket.artifacts.public_access_prevention == "enforced"
      && google_storage_bucket.artifacts.uniform_bucket_level_access
    )
    error_message = "The bucket cannot become public."
  }

  assert {
    condition = alltrue(flatten([for function in google_cloudfunctions2_function.this : [
      for secret in function.service_config[0].secret_environment_variables :
      secret.key == "MONGODB_URI" && secret.version == google_secret_manager_secret_version.this["mongodb-uri"].version
    ]]))
    error_message = "Every function gets MONGODB_URI, by the version of its secret."
  }

  assert {
    condition = toset(keys(google_monitoring_alert_policy.this)) == toset([
      "cleanup_overdue", "jobs_lost", "jobs_unhealthy", "no_complete_pass", "notifications_failed", "page_failed",
      "pass_failed", "submit_failed",
    ])
    error_message = "There are eight alerts."
  }

  assert {
    condition = (
      google_monitoring_alert_policy.this["no_complete_pass"].conditions[0].condition_prometheus_query_language[0].duration == "360s"
      && strcontains(google_monitoring_alert_policy.this["no_complete_pass"].conditions[0].condition_prometheus_query_language[0].query, "[180s]")
      && google_cloudfunctions2_function.this["jobs"].service_config[0].environment_variables["SYNC_PERIOD_SECONDS"] == "180"
    )
    error_message = "One period in the query and two in the duration are three."
  }

  assert {
    condition = alltrue([for tile in jsondecode(google_monitoring_dashboard.this.dashboard_json).mosaicLayout.tiles :
      try(tile.xPos, 24) == 24 && try(tile.yPos, 12) >= 12 && tile.width == 24 && tile.height == 12
    ])
    error_message = "The dashboard holds no zero, which the API would leave out."
  }

  assert {
    condition = (
      length(kubernetes_namespace_v1.this) == 0
      && length(kubernetes_role_v1.function) == 0
      && length(kubernetes_role_binding_v1.function) == 0
      && length(kubernetes_network_policy_v1.this) == 0
    )
    error_message = "The cluster is left alone unless asked for."
  }

  assert {
    condition = alltrue([for function in google_cloudfunctions2_function.this : (
      function.service_config[0].direct_vpc_network_interface[0].network == "default"
      && function.service_config[0].direct_vpc_egress == "VPC_EGRESS_PRIVATE_RANGES_ONLY"
      && function.service_config[0].vpc_connector == null
      && function.service_config[0].environment_variables["COLD_START_SECONDS"] == "150"
    )]) && length(google_vpc_access_connector.this) == 0
    error_message = "The functions are in the network themselves, and wait for it."
  }
}

run "a_connector" {
  command = apply

  variables {
    vpc_access = "connector"
  }

  assert {
    condition = alltrue([for function in google_cloudfunctions2_function.this : (
      function.service_config[0].vpc_connector == google_vpc_access_connector.this[0].id
      && function.service_config[0].vpc_connector_egress_settings == "PRIVATE_RANGES_ONLY"
      && length(function.service_config[0].direct_vpc_network_interface) == 0
      && !contains(keys(function.service_config[0].environment_variables), "COLD_START_SECONDS")
    )])
    error_message = "The functions use the connector that was made for them."
  }
}

run "an_existing_connector" {
  command = plan

  variables {
    vpc_connector = "projects/my-project/locations/europe-west1/connectors/main"
  }

  assert {
    condition = alltrue([for function in google_cloudfunctions2_function.this : (
      function.service_config[0].vpc_connector == var.vpc_connector
      && length(function.service_config[0].direct_vpc_network_interface) == 0
    )]) && length(google_vpc_access_connector.this) == 0
    error_message = "The functions use the connector that was given."
  }
}

run "a_subnet_too_small" {
  command = plan

  override_data {
    target = data.google_compute_subnetwork.this[0]
    values = {
      ip_cidr_range            = "10.132.0.0/27"
      private_ip_google_access = true
    }
  }

  expect_failures = [data.google_compute_subnetwork.this[0]]
}

run "sync_now_without_private_google_access" {
  command = plan

  variables {
    sync_now = true
  }

  override_data {
    target = data.google_compute_subnetwork.this[0]
    values = {
      ip_cidr_range            = "10.132.0.0/26"
      private_ip_google_access = false
    }
  }

  expect_failures = [data.google_compute_subnetwork.this[0]]
}

run "every_minute" {
  command = plan

  variables {
    sync_cron = "*/1 * * * *"
  }

  assert {
    condition = (
      local.schedules.sync.budget_seconds == 40
      && local.schedules.sync.timeout_seconds == 50
      && local.schedules.sync.deadline_seconds == 55
      && local.schedules.sync.period_seconds == 60
    )
    error_message = "The budgets follow a shorter period."
  }
}

run "follow" {
  command = plan

  variables {
    sync_cron           = "* * * * *"
    sync_follow_seconds = 5
  }

  assert {
    condition = (
      local.schedules.sync.budget_seconds == 40
      && local.schedules.sync.timeout_seconds == 58
      && local.schedules.sync.deadline_seconds == 59
      && local.schedules.sync.period_seconds == 60
    )
    error_message = "A call that follows to second 57 ends before its timeout, its deadline and the next call."
  }

  assert {
    condition = (
      google_cloudfunctions2_function.this["sync"].service_config[0].max_instance_count == 2
      && google_cloudfunctions2_function.this["cleanup"].service_config[0].max_instance_count == 1
    )
    error_message = "Sync now has an instance of its own."
  }

  assert {
    condition = [
      for name, function in google_cloudfunctions2_function.this : name
      if try(function.service_config[0].environment_variables["SYNC_FOLLOW_SECONDS"], "") == "5"
    ] == ["sync"]
    error_message = "sync alone follows."
  }
}

run "page_behind_iap" {
  command = apply

  variables {
    iap_members   = ["domain:example.com", "user:ann@example.org"]
    jobs_invokers = ["group:data@example.com"]
    operators     = ["*@ops.example.com", "ann@example.org"]
    settings      = { FLINK_UI_URL = "https://flink.example.com" }
    sync_now      = true
  }

  assert {
    condition = (
      keys(google_cloudfunctions2_function.this) == ["cleanup", "submit", "sync"]
      && google_cloud_run_v2_service.jobs[0].name == "flinkjobs-page"
      && google_cloud_run_v2_service.jobs[0].iap_enabled
      && google_cloud_run_v2_service.jobs[0].build_config[0].function_target == "jobs"
      && output.jobs_url == google_cloud_run_v2_service.jobs[0].uri
    )
    error_message = "Behind Identity-Aware Proxy jobs is a Cloud Run service."
  }

  assert {
    condition = toset([
      for entry in google_cloud_run_v2_service.jobs[0].template[0].containers[0].env : "${entry.name}=${entry.value}"
      if contains(["FLINK_UI_URL", "OPERATORS", "SYNC_URL", "TRUSTED_USER_HEADER"], entry.name)
      ]) == toset([
      "FLINK_UI_URL=https://flink.example.com",
      "OPERATORS=*@ops.example.com ann@example.org",
      "SYNC_URL=https://flinkjobs-sync-123456789012.europe-west1.run.app",
      "TRUSTED_USER_HEADER=X-Goog-Authenticated-User-Email",
    ])
    error_message = "jobs believes the proxy's header, and has its other settings."
  }

  assert {
    condition = (
      google_cloud_run_v2_service_iam_member.iap[0].member == "serviceAccount:service-123456789012@gcp-sa-iap.iam.gserviceaccount.com"
      && alltrue([for grant in google_cloud_run_v2_service_iam_member.invoker : grant.member != "group:data@example.com"])
      && toset([for grant in google_iap_web_cloud_run_service_iam_member.page : "${grant.role} ${grant.member}"]) == toset([
        "roles/iap.httpsResourceAccessor domain:example.com", "roles/iap.httpsResourceAccessor user:ann@example.org",
      ])
    )
    error_message = "Only the proxy calls the page, for those who may sign in."
  }

  assert {
    condition     = length([for alert in google_monitoring_alert_policy.this : alert if strcontains(jsonencode(alert), "flinkjobs-jobs")]) == 0
    error_message = "The alerts look at the service that there is."
  }
}

run "operators_without_a_sign_in" {
  command = plan

  variables {
    operators = ["ann@example.org"]
  }

  expect_failures = [var.operators]
}

run "the_page_for_everybody_behind_iap" {
  command = plan

  variables {
    iap_members = ["allUsers"]
  }

  expect_failures = [var.iap_members]
}

run "follow_without_its_schedule" {
  command = plan

  variables {
    sync_follow_seconds = 5
  }

  expect_failures = [var.sync_follow_seconds]
}

run "follow_too_often" {
  command = plan

  variables {
    sync_cron           = "*/1 * * * *"
    sync_follow_seconds = 1
  }

  expect_failures = [var.sync_follow_seconds]
}

run "a_timeout_below_the_end_of_a_call_that_follows" {
  command = plan

  variables {
    sync_cron            = "* * * * *"
    sync_follow_seconds  = 5
    sync_timeout_seconds = 57
  }

  expect_failures = [google_cloud_scheduler_job.this["sync"]]
}

run "every_ten_minutes" {
  command = plan

  variables {
    sync_cron = "*/10 * * * *"
  }

  assert {
    condition = (
      local.schedules.sync.budget_seconds == 120
      && local.schedules.sync.timeout_seconds == 150
      && local.schedules.sync.deadline_seconds == 165
      && local.schedules.sync.period_seconds == 600
    )
    error_message = "A longer period changes no budget."
  }
}

run "an_uneven_schedule" {
  command = plan

  variables {
    sync_cron            = "0,20,30-40/5,58 8-18 * * 1-5"
    sync_overdue_seconds = 223200 # from Friday evening to Monday morning it is 61 hours
  }

  assert {
    condition     = local.schedules.sync.period_seconds == 120
    error_message = "From minute 58 to minute 0 of the next hour it is two minutes."
  }

  assert {
    condition = (
      local.schedule_longest_seconds.sync == 1200
      && google_monitoring_alert_policy.this["no_complete_pass"].conditions[0].condition_prometheus_query_language[0].duration == "2400s"
      && strcontains(google_monitoring_alert_policy.this["no_complete_pass"].conditions[0].condition_prometheus_query_language[0].query, "[220800s]")
      && google_cloudfunctions2_function.this["jobs"].service_config[0].environment_variables["SYNC_PERIOD_SECONDS"] == "74400"
    )
    error_message = "There is no alert while the schedule is paused."
  }
}

run "a_schedule_that_rests" {
  command = plan

  variables {
    sync_cron = "*/3 8-18 * * *"
  }

  expect_failures = [var.sync_overdue_seconds]
}

run "an_alarm_before_the_third_pass" {
  command = plan

  variables {
    sync_overdue_seconds = 480
  }

  expect_failures = [var.sync_overdue_seconds]
}

run "a_name_too_long_for_the_connector" {
  command = plan

  variables {
    prefix = "record-of-flink-jobs"
  }

  expect_failures = [var.prefix]
}

run "versions_without_their_secrets" {
  command = plan

  variables {
    mongodb_read_uri           = null
    mongodb_read_uri_version   = 1
    notify_channels            = null
    notify_channels_version    = 1
    page_action_secret         = null
    page_action_secret_version = 1
    webhook_secrets            = null
    webhook_secrets_version    = 1
  }

  expect_failures = [var.mongodb_read_uri, var.notify_channels, var.page_action_secret, var.webhook_secrets]
}

run "a_longer_cleanup" {
  command = plan

  variables {
    cleanup_attempt_deadline_seconds = 900
    cleanup_budget_seconds           = 600
    cleanup_timeout_seconds          = 700
  }

  assert {
    condition = (
      output.client_environment.CLEANUP_ATTEMPT_DEADLINE_SECONDS == "900"
      && output.client_environment.SYNC_ATTEMPT_DEADLINE_SECONDS == "165"
    )
    error_message = "The client waits for each function as long as its schedule does."
  }
}

run "a_budget_above_the_timeout" {
  command = plan

  variables {
    sync_budget_seconds = 150
  }

  expect_failures = [google_cloud_scheduler_job.this["sync"]]
}

run "a_timeout_above_the_deadline" {
  command = plan

  variables {
    cleanup_timeout_seconds = 165
  }

  expect_failures = [google_cloud_scheduler_job.this["cleanup"]]
}

run "a_deadline_above_the_period" {
  command = plan

  variables {
    sync_attempt_deadline_seconds = 180
  }

  expect_failures = [google_cloud_scheduler_job.this["sync"]]
}

run "callers" {
  command = plan

  variables {
    jobs_invokers           = ["group:data@example.com"]
    notify_channels_version = 1
    submit_invokers         = ["allUsers"]
    webhook_secrets_version = 1
  }

  assert {
    condition = toset(keys(google_cloud_run_v2_service_iam_member.invoker)) == toset([
      "cleanup:scheduler", "jobs:group:data@example.com", "submit:allUsers", "sync:scheduler",
    ])
    error_message = "Exactly who is named may call."
  }

  assert {
    condition = (
      toset(google_cloudfunctions2_function.this["submit"].service_config[0].secret_environment_variables[*].key)
      == toset(["MONGODB_URI", "WEBHOOK_SECRETS"])
    )
    error_message = "submit demands a signature."
  }

  assert {
    condition = [
      for name, function in google_cloudfunctions2_function.this : name
      if contains(function.service_config[0].secret_environment_variables[*].key, "NOTIFY_CHANNELS")
    ] == ["sync"]
    error_message = "sync alone gets the channels."
  }
}

run "sync_now" {
  command = plan

  variables {
    sync_now = true
  }

  assert {
    condition = (
      google_cloud_run_v2_service_iam_member.invoker["sync:jobs"].role == "roles/run.invoker"
      && google_cloud_run_v2_service_iam_member.invoker["sync:submit"].role == "roles/run.invoker"
      && google_cloudfunctions2_function.this["jobs"].service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC"
      && google_cloudfunctions2_function.this["submit"].service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC"
      && google_cloudfunctions2_function.this["sync"].service_config[0].direct_vpc_egress == "VPC_EGRESS_PRIVATE_RANGES_ONLY"
    )
    error_message = "jobs and submit may call sync, through the network."
  }
}

run "page_actions" {
  command = plan

  variables {
    page_action_secret_version = 1
    page_actions               = true
    webhook_secrets_version    = 1
  }

  assert {
    condition = (
      google_cloud_run_v2_service_iam_member.invoker["submit:jobs"].role == "roles/run.invoker"
      && google_cloudfunctions2_function.this["jobs"].service_config[0].direct_vpc_egress == "VPC_EGRESS_ALL_TRAFFIC"
      && [
        for name, function in google_cloudfunctions2_function.this : name
        if contains(function.service_config[0].secret_environment_variables[*].key, "PAGE_ACTION_SECRET")
      ] == ["jobs", "submit"]
    )
    error_message = "jobs may call submit, with a secret that both have."
  }
}

run "page_actions_without_their_secret" {
  command = plan

  variables {
    page_actions            = true
    webhook_secrets_version = 1
  }

  expect_failures = [var.page_actions]
}

run "everybody_without_a_signature" {
  command = plan

  variables {
    submit_invokers = ["allUsers"]
  }

  expect_failures = [var.submit_invokers]
}

run "the_page_for_everybody" {
  command = plan

  variables {
    jobs_invokers = ["allUsers"]
  }

  expect_failures = [var.jobs_invokers]
}

run "wrong_values" {
  command = plan

  variables {
    cleanup_cron = "0 2 * *"
    gke_cluster  = "main"
    prefix       = "Flink_Jobs"
    runtime      = "python311"
    settings     = { MONGODB_URI = "mongodb://10.0.0.6" }
    sync_cron    = "@hourly"
  }

  expect_failures = [
    var.cleanup_cron, var.gke_cluster, var.prefix, var.runtime, var.settings, var.sync_cron,
  ]
}

run "kubernetes" {
  command = apply

  variables {
    manage_kubernetes = true
    manage_namespace  = true
    flink_clusters = {
      a    = { rest_url = "http://10.0.0.7:8081", namespace = "team-a" }
      also = { rest_url = "http://10.0.0.8:8081", namespace = "team-a" }
      same = { rest_url = "http://10.0.0.9:8081", namespace = "lemo-dev" }
    }
  }

  assert {
    condition = alltrue([for function in ["cleanup", "jobs", "submit", "sync"] : (
      length(kubernetes_role_v1.function[function].rule) > 0
      && kubernetes_role_binding_v1.function[function].role_ref[0].name == "flinkjobs-${function}"
      && toset(kubernetes_role_binding_v1.function[function].subject[*].name) == toset([
        google_service_account.function[function].email,
        google_service_account.function[function].unique_id,
      ])
    )])
    error_message = "Each function's Google identity gets its own Role."
  }

  assert {
    condition = alltrue([for function in ["cleanup", "jobs", "submit", "sync"] : (
      kubernetes_role_v1.function["${function}@team-a"].metadata[0].namespace == "team-a"
      && kubernetes_role_v1.function["${function}@team-a"].metadata[0].name == "flinkjobs-${function}"
      && kubernetes_role_binding_v1.function["${function}@team-a"].metadata[0].namespace == "team-a"
      && kubernetes_role_binding_v1.function["${function}@team-a"].subject == kubernetes_role_binding_v1.function[function].subject
    )]) && length(kubernetes_role_v1.function) == 8
    error_message = "A further namespace of flink_clusters gets the same Roles."
  }

  assert {
    condition     = length(kubernetes_network_policy_v1.this) > 0
    error_message = "There is a NetworkPolicy."
  }

  assert {
    condition     = kubernetes_namespace_v1.this[0].metadata[0].labels["pod-security.kubernetes.io/enforce"] == "baseline"
    error_message = "The namespace has the labels of deploy/kubernetes/namespace.yaml."
  }
}
