# Who may do what. One identity per function, one that builds, one that triggers; no other identity has a right.

locals {
  # Who may call each function: exactly these, on exactly that service.
  invokers = merge(
    { for function in keys(local.schedules) : "${function}:scheduler" => {
      function = function, member = google_service_account.invoker.member
    } },
    { for member in var.jobs_invokers : "jobs:${member}" => { function = "jobs", member = member } if !local.has_iap },
    { for function in var.sync_now ? ["jobs", "submit"] : [] : "sync:${function}" => {
      function = "sync", member = google_service_account.function[function].member
    } },
    var.page_actions ? {
      "submit:jobs" = { function = "submit", member = google_service_account.function["jobs"].member }
    } : {},
    { for member in var.submit_invokers : "submit:${member}" => { function = "submit", member = member } },
  )
}

resource "google_service_account" "function" {
  for_each = local.functions

  project      = var.project_id
  account_id   = "${var.prefix}-${each.key}"
  display_name = "${var.prefix}: what ${each.key} runs as"

  depends_on = [time_sleep.services]
}

resource "google_service_account" "invoker" {
  project      = var.project_id
  account_id   = "${var.prefix}-invoker"
  display_name = "${var.prefix}: what Cloud Scheduler calls sync and cleanup as"

  depends_on = [time_sleep.services]
}

resource "google_service_account" "build" {
  project      = var.project_id
  account_id   = "${var.prefix}-build"
  display_name = "${var.prefix}: what Cloud Build builds the functions as"

  depends_on = [time_sleep.services]
}

resource "google_cloud_run_v2_service_iam_member" "invoker" {
  for_each = local.invokers

  project  = var.project_id
  location = var.region
  name     = google_cloudfunctions2_function.this[each.value.function].name
  role     = "roles/run.invoker"
  member   = each.value.member
}

# --- the cluster ---------------------------------------------------------------------------------

# To find the cluster, and to pass its DNS endpoint. What may be done in there is up to Kubernetes' RBAC.
# From day 7 to day 37 after a destroy Google neither restores the id of a role nor lets it be used again:
# https://cloud.google.com/iam/docs/creating-custom-roles#deleting-custom-role. So it ends with a number that is
# another one after every destroy.
resource "google_project_iam_custom_role" "cluster_access" {
  project     = local.gke_project
  role_id     = "${replace(var.prefix, "-", "_")}_cluster_access_${google_service_account.invoker.unique_id}"
  title       = "${var.prefix}: reach a GKE cluster"
  description = "Find a cluster and connect to its DNS endpoint; grants nothing inside of it"
  permissions = ["container.clusters.connect", "container.clusters.get"]
}

resource "google_project_iam_member" "cluster_access" {
  for_each = local.functions

  project = local.gke_project
  role    = google_project_iam_custom_role.cluster_access.name
  member  = google_service_account.function[each.key].member

  lifecycle {
    create_before_destroy = true # the functions keep their way into the cluster; the role follows
  }
}

# --- the build -----------------------------------------------------------------------------------

resource "google_project_iam_member" "build" {
  project = var.project_id
  role    = "roles/logging.logWriter"
  member  = google_service_account.build.member
}

# Cloud Functions copies a source into a bucket of its own, from which Cloud Build reads it.
resource "google_project_iam_member" "build_sources" {
  project = var.project_id
  role    = "roles/storage.objectViewer"
  member  = google_service_account.build.member

  condition {
    title       = "only-the-sources-of-functions"
    description = "The bucket that Cloud Functions keeps sources in"
    expression = join("", [
      "resource.name.startsWith(\"projects/_/buckets/gcf-v2-sources-",
      data.google_project.this.number, "-", var.region, "\")",
    ])
  }
}

resource "google_storage_bucket_iam_member" "build" {
  bucket = google_storage_bucket.artifacts.name
  role   = "roles/storage.objectViewer"
  member = google_service_account.build.member
}

resource "google_artifact_registry_repository_iam_member" "build" {
  project    = var.project_id
  location   = var.region
  repository = google_artifact_registry_repository.images.name
  role       = "roles/artifactregistry.writer"
  member     = google_service_account.build.member
}
