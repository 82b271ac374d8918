# The page behind Identity-Aware Proxy; off by default. A google_cloudfunctions2_function cannot have it, so jobs is
# then a Cloud Run service, which Cloud Run builds of the same bundle, under another name than the function's.

locals {
  has_iap = length(var.iap_members) > 0

  # Names of the Cloud Run services: metrics and log lines carry them.
  service_names = merge(
    { for function in keys(local.functions) : function => "${var.prefix}-${function}" },
    local.has_iap ? { jobs = "${var.prefix}-page" } : {},
  )

  jobs_uri = one(concat(
    google_cloud_run_v2_service.jobs[*].uri,
    [for name, function in google_cloudfunctions2_function.this : function.service_config[0].uri if name == "jobs"],
  ))
  jobs_image = "${var.region}-docker.pkg.dev/${var.project_id}/${google_artifact_registry_repository.images.name}/page"

  # Python up to 3.13 is built on the older stack: https://cloud.google.com/run/docs/runtimes/python
  stack = tonumber(trimprefix(var.runtime, "python3")) < 14 ? "google-22" : "google-24"

  jobs_environment = merge(
    local.common_environment,
    local.functions.jobs.environment,
    { for name, value in var.settings : name => value if contains(local.functions.jobs.optional, name) },
    {
      OPERATORS           = join(" ", var.operators)
      TRUSTED_USER_HEADER = "X-Goog-Authenticated-User-Email"
    },
  )
}

resource "google_cloud_run_v2_service" "jobs" {
  count = local.has_iap ? 1 : 0

  project             = var.project_id
  location            = var.region
  name                = local.service_names.jobs
  description         = local.functions.jobs.description
  labels              = local.labels
  deletion_protection = false
  iap_enabled         = true
  ingress = {
    ALLOW_ALL               = "INGRESS_TRAFFIC_ALL"
    ALLOW_INTERNAL_AND_GCLB = "INGRESS_TRAFFIC_INTERNAL_LOAD_BALANCER"
    ALLOW_INTERNAL_ONLY     = "INGRESS_TRAFFIC_INTERNAL_ONLY"
  }[local.functions.jobs.ingress]

  build_config {
    source_location = join("", [
      "gs://${google_storage_bucket.artifacts.name}/", google_storage_bucket_object.bundle["jobs"].name,
    ])
    function_target = "jobs"
    image_uri       = local.jobs_image
    base_image      = "${var.region}-docker.pkg.dev/serverless-runtimes/${local.stack}/runtimes/${var.runtime}"
    service_account = google_service_account.build.id
  }

  template {
    service_account                  = google_service_account.function["jobs"].email
    timeout                          = "${local.functions.jobs.timeout}s"
    max_instance_request_concurrency = local.functions.jobs.concurrency

    scaling {
      max_instance_count = local.functions.jobs.max_instances
    }

    vpc_access {
      connector = local.vpc_connector
      egress    = local.functions.jobs.egress

      dynamic "network_interfaces" {
        for_each = data.google_compute_subnetwork.this[*].name

        content {
          network    = var.network
          subnetwork = network_interfaces.value
        }
      }
    }

    containers {
      image = local.jobs_image

      resources {
        limits = { cpu = local.functions.jobs.cpu, memory = local.functions.jobs.memory }
      }

      dynamic "env" {
        for_each = local.jobs_environment

        content {
          name  = env.key
          value = env.value
        }
      }

      dynamic "env" {
        for_each = local.functions.jobs.secrets

        content {
          name = env.key

          value_source {
            secret_key_ref {
              secret  = google_secret_manager_secret.this[env.value].secret_id
              version = google_secret_manager_secret_version.this[env.value].version
            }
          }
        }
      }
    }
  }

  depends_on = [time_sleep.grants] # to read its source and its secrets
}

# The proxy calls the service as its own agent, for every user.
resource "google_cloud_run_v2_service_iam_member" "iap" {
  count = local.has_iap ? 1 : 0

  project  = var.project_id
  location = var.region
  name     = google_cloud_run_v2_service.jobs[0].name
  role     = "roles/run.invoker"
  member   = "serviceAccount:service-${data.google_project.this.number}@gcp-sa-iap.iam.gserviceaccount.com"
}

resource "google_iap_web_cloud_run_service_iam_member" "page" {
  for_each = var.iap_members

  project                = var.project_id
  location               = var.region
  cloud_run_service_name = google_cloud_run_v2_service.jobs[0].name
  role                   = "roles/iap.httpsResourceAccessor"
  member                 = each.value
}
