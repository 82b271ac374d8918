# The functions' source, as `make bundle` stages it, and the images that are built from it.

locals {
  bundle_dir = coalesce(var.bundle_dir, "${path.module}/../build")
}

data "archive_file" "bundle" {
  for_each = local.functions

  type             = "zip"
  source_dir       = "${local.bundle_dir}/${each.key}"
  output_path      = "${local.bundle_dir}/${each.key}.zip"
  output_file_mode = "0644"                # the same files give the same hash, whatever the umask
  excludes         = ["**/__pycache__/**"] # of a function that was started there

  lifecycle {
    precondition {
      condition     = fileexists("${local.bundle_dir}/${each.key}/main.py")
      error_message = "There is no bundle in ${local.bundle_dir}/${each.key}: run `make bundle` first."
    }
  }
}

resource "google_storage_bucket" "artifacts" {
  #checkov:skip=CKV_GCP_62:Only the build reads it; Cloud Audit Logs hold who changed it
  project                     = var.project_id
  name                        = "${var.project_id}-${var.prefix}-artifacts"
  location                    = var.region
  labels                      = local.labels
  force_destroy               = true # it holds nothing that `make bundle` does not make again
  public_access_prevention    = "enforced"
  uniform_bucket_level_access = true

  versioning {
    enabled = true
  }

  # What a deployment replaced stays for a month, to go back to.
  lifecycle_rule {
    action {
      type = "Delete"
    }
    condition {
      days_since_noncurrent_time = 30
      with_state                 = "ARCHIVED"
    }
  }

  lifecycle_rule {
    action {
      type = "AbortIncompleteMultipartUpload"
    }
    condition {
      age = 1
    }
  }

  depends_on = [time_sleep.services]
}

resource "google_storage_bucket_object" "bundle" {
  for_each = local.functions

  bucket = google_storage_bucket.artifacts.name
  name   = "${each.key}-${data.archive_file.bundle[each.key].output_sha256}.zip"
  source = data.archive_file.bundle[each.key].output_path

  lifecycle {
    create_before_destroy = true # the function moves to the new one before the old one goes
  }
}

resource "google_artifact_registry_repository" "images" {
  #checkov:skip=CKV_GCP_84:Google's own keys encrypt the images, which hold this public code and no secret
  project       = var.project_id
  location      = var.region
  repository_id = var.prefix
  description   = "Images that Cloud Build makes of the ${var.prefix} functions"
  format        = "DOCKER"
  labels        = local.labels

  cleanup_policies {
    id     = "keep-recent"
    action = "KEEP"
    most_recent_versions {
      keep_count = 5
    }
  }

  cleanup_policies {
    id     = "delete-old"
    action = "DELETE"
    condition {
      older_than = "2592000s" # 30 days
    }
  }

  depends_on = [time_sleep.services]
}
