# The four functions. What differs between them stands in one table.

locals {
  # memory, cpu: of one instance. Below a whole CPU an instance takes one request at a time.
  # timeout: seconds; sync and cleanup end by themselves before it, see scheduler.tf.
  # concurrency: requests in one instance at a time; the framework has four threads per CPU.
  # max_instances: sync and cleanup have one. A second pass could only wait for the first one's lease. In follow
  # mode sync has another, as "Sync now" needs no lease.
  # egress: what leaves through the network.
  # secrets: by environment variable, the key in local.secrets.
  # environment: what this function reads beyond local.common_environment.
  # optional: names of var.settings that this function reads.
  functions = {
    cleanup = {
      description   = "Deletes the finished Kubernetes Jobs whose final status is stored"
      memory        = "512Mi"
      cpu           = "1"
      timeout       = local.schedules.cleanup.timeout_seconds
      concurrency   = 1
      max_instances = 1
      ingress       = "ALLOW_INTERNAL_ONLY"
      egress        = var.vpc_egress
      secrets       = { MONGODB_URI = "mongodb-uri" }
      environment   = { SYNC_BUDGET_SECONDS = tostring(local.schedules.cleanup.budget_seconds) }
      optional = [
        "CLEANUP_DELETIONS_PER_SECOND", "CLEANUP_MAX_DELETIONS", "CLEANUP_RETENTION_HOURS",
        "CLEANUP_UNHARVESTED_HOURS", "FLINK_HISTORY_URL", "LOST_AFTER_SECONDS", "RECORD_RETENTION_DAYS",
      ]
    }
    jobs = {
      description   = "The page of job instances, its JSON and its metrics; read-only"
      memory        = "512Mi"
      cpu           = "1"
      timeout       = 180 # "Sync now" waits for sync
      concurrency   = 4
      max_instances = 2
      ingress       = var.caller_ingress
      egress        = var.sync_now || var.page_actions ? "ALL_TRAFFIC" : var.vpc_egress
      secrets = merge(
        { MONGODB_URI = var.mongodb_read_uri_version == null ? "mongodb-uri" : "mongodb-read-uri" },
        local.page_action_secret,
      )
      environment = merge(
        { SYNC_PERIOD_SECONDS = tostring(local.sync_overdue_seconds / 3) }, # the page says so after three of them
        var.sync_now ? { SYNC_URL = local.addresses.sync } : {},
        var.page_actions ? { SUBMIT_URL = local.addresses.submit } : {},
      )
      optional = ["CORS_ORIGINS", "FLINK_HISTORY_URL", "FLINK_UI_URL", "LOG_URL_TEMPLATE"]
    }
    submit = {
      description   = "Accepts a Flink Python job: a record, and a Kubernetes Job that submits it"
      memory        = "512Mi"
      cpu           = "1"
      timeout       = 120 # it waits 75 for the network of a new instance
      concurrency   = 4
      max_instances = 4
      ingress       = var.caller_ingress
      egress        = var.sync_now ? "ALL_TRAFFIC" : var.vpc_egress
      secrets = merge(
        { MONGODB_URI = "mongodb-uri" },
        var.webhook_secrets_version == null ? {} : { WEBHOOK_SECRETS = "webhook-secrets" },
        local.page_action_secret,
      )
      environment = merge(
        { FLINK_IMAGE = var.flink_image },
        var.sync_now ? { SYNC_URL = local.addresses.sync } : {}, # to ask for the pass that an action needs
      )
      optional = [
        "CORS_ORIGINS",
        "ALLOWED_SCRIPT_HOSTS", "FLINK_BIN", "FLINK_JOBMANAGER", "K8S_ALLOW_INJECTION",
        "K8S_IMAGE_PULL_SECRETS", "K8S_SERVICE_ACCOUNT", "POD_TEMPLATE", "SUBMIT_TIMEOUT_SECONDS",
      ]
    }
    sync = {
      description   = "Makes every open record true: one pass"
      memory        = "512Mi"
      cpu           = "1"
      timeout       = local.schedules.sync.timeout_seconds
      concurrency   = 1
      max_instances = var.sync_follow_seconds == null ? 1 : 2
      ingress       = "ALLOW_INTERNAL_ONLY"
      egress        = var.vpc_egress
      secrets = merge(
        { MONGODB_URI = "mongodb-uri" },
        var.notify_channels_version == null ? {} : { NOTIFY_CHANNELS = "notify-channels" },
      )
      environment = merge(
        {
          SYNC_BUDGET_SECONDS = tostring(local.schedules.sync.budget_seconds)
          SYNC_PERIOD_SECONDS = tostring(local.sync_overdue_seconds / 3) # after three of them it says that it resumed
        },
        var.sync_follow_seconds == null ? {} : { SYNC_FOLLOW_SECONDS = tostring(var.sync_follow_seconds) },
      )
      optional = [
        "FLINK_HISTORY_URL", "HEALTH_MAX_RESTARTS", "HEALTH_REQUESTS_PER_PASS", "HEALTH_WAIT_SECONDS",
        "HEALTH_WINDOW_SECONDS", "LOST_AFTER_SECONDS", "NOTIFY_STUCK_AFTER_SECONDS", "PAGE_URL",
      ]
    }
  }

  common_environment = merge(
    {
      FLINK_REST_URL   = var.flink_rest_url
      GKE_CLUSTER      = var.gke_cluster
      K8S_AUTH         = "gke"
      K8S_NAMESPACE    = var.k8s_namespace
      LOG_LEVEL        = var.log_level
      MONGODB_DATABASE = var.mongodb_database
    },
    length(local.flink_clusters) == 0 ? {} : { FLINK_CLUSTERS = jsonencode(local.flink_clusters) },
    # The network of an instance may come a minute or more after its start:
    # https://cloud.google.com/run/docs/configuring/vpc-direct-vpc#limitations
    local.is_direct ? { COLD_START_SECONDS = "150" } : {},
  )

  # The addresses that Cloud Run gives services by their names: who calls one knows it before it is made.
  addresses = {
    for name in ["submit", "sync"] :
    name => "https://${var.prefix}-${name}-${data.google_project.this.number}.${var.region}.run.app"
  }

  page_action_secret = var.page_action_secret_version == null ? {} : { PAGE_ACTION_SECRET = "page-action-secret" }

  # Without what is not given: the functions take no null for an answer.
  flink_clusters = {
    for name, cluster in var.flink_clusters : name => { for key, value in cluster : key => value if value != null }
  }
}

resource "google_cloudfunctions2_function" "this" {
  #checkov:skip=CKV_GCP_124:The ingress stands in local.functions, and sync and cleanup have none from outside
  for_each = { for name, described in local.functions : name => described if name != "jobs" || !local.has_iap }

  project     = var.project_id
  location    = var.region
  name        = "${var.prefix}-${each.key}"
  description = each.value.description
  labels      = local.labels

  build_config {
    runtime           = var.runtime
    entry_point       = each.key
    docker_repository = google_artifact_registry_repository.images.id
    service_account   = google_service_account.build.id

    source {
      storage_source {
        bucket = google_storage_bucket.artifacts.name
        object = google_storage_bucket_object.bundle[each.key].name
      }
    }
  }

  service_config {
    available_cpu                    = each.value.cpu
    available_memory                 = each.value.memory
    timeout_seconds                  = each.value.timeout
    max_instance_request_concurrency = each.value.concurrency
    min_instance_count               = 0
    max_instance_count               = each.value.max_instances
    ingress_settings                 = each.value.ingress
    all_traffic_on_latest_revision   = true
    service_account_email            = google_service_account.function[each.key].email
    vpc_connector                    = local.vpc_connector
    vpc_connector_egress_settings    = local.is_direct ? null : each.value.egress
    direct_vpc_egress                = local.is_direct ? "VPC_EGRESS_${each.value.egress}" : null

    dynamic "direct_vpc_network_interface" {
      for_each = data.google_compute_subnetwork.this[*].name

      content {
        network    = var.network
        subnetwork = direct_vpc_network_interface.value
      }
    }

    environment_variables = merge(
      local.common_environment,
      each.value.environment,
      { for name, value in var.settings : name => value if contains(each.value.optional, name) },
    )

    dynamic "secret_environment_variables" {
      for_each = each.value.secrets

      content {
        key        = secret_environment_variables.key
        project_id = var.project_id
        secret     = google_secret_manager_secret.this[secret_environment_variables.value].secret_id
        version    = google_secret_manager_secret_version.this[secret_environment_variables.value].version
      }
    }
  }

  depends_on = [time_sleep.grants] # to read its source and its secrets
}
