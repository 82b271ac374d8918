# The names and the services that everything else builds on.

locals {
  labels = merge(var.labels, { app = var.prefix })

  # As in projects/PROJECT/locations/LOCATION/clusters/NAME; variables.tf holds it to that form.
  gke_project = split("/", var.gke_cluster)[1]

  services = toset(concat(local.has_iap ? ["iap.googleapis.com"] : [], [
    "artifactregistry.googleapis.com",
    "cloudbuild.googleapis.com",
    "cloudfunctions.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "cloudscheduler.googleapis.com",
    "container.googleapis.com",
    "iam.googleapis.com",
    "logging.googleapis.com",
    "monitoring.googleapis.com",
    "run.googleapis.com",
    "secretmanager.googleapis.com",
    "storage.googleapis.com",
    "vpcaccess.googleapis.com",
  ]))
}

# No depends_on: a data source with one is read during apply as soon as anything that it depends on changes, and
# until then everything that reads it counts as changed: the grants and the bundles, for one service more.
data "google_project" "this" {
  project_id = var.project_id
}

resource "google_project_service" "this" {
  for_each = local.services

  project            = var.project_id
  service            = each.value
  disable_on_destroy = false # others in the project may use it
}

# A service that was just switched on is not known everywhere at once, nor is a right that was just granted: see
# https://cloud.google.com/iam/docs/access-change-propagation. Only what is new is waited for.
resource "time_sleep" "services" {
  create_duration = "30s"
  triggers        = { services = join(" ", local.services) }

  depends_on = [google_project_service.this]
}

resource "time_sleep" "grants" {
  create_duration = "120s"
  triggers = merge(
    { build = google_service_account.build.unique_id },
    { for function, account in google_service_account.function : function => account.unique_id },
    { secrets = join(" ", keys(local.secret_readers)) },
  )

  depends_on = [
    google_artifact_registry_repository_iam_member.build,
    google_project_iam_member.build,
    google_project_iam_member.build_sources,
    google_secret_manager_secret_iam_member.function,
    google_storage_bucket_iam_member.build,
  ]
}
