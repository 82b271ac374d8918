# The names and the services that everything else builds on.

locals {
  labels = merge(var.labels, { app = var.prefix })

  # As in projects/PROJECT/locations/LOCATION/clusters/NAME; variables.tf holds it to that form.
  gke_project = split("/", var.gke_cluster)[1]

  services = toset([
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
  ])
}

data "google_project" "this" {
  project_id = var.project_id

  depends_on = [google_project_service.this]
}

resource "google_project_service" "this" {
  for_each = local.services

  project            = var.project_id
  service            = each.value
  disable_on_destroy = false # others in the project may use it
}
