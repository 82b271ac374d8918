# The secrets. Their values go straight to Secret Manager: they are in no state and no plan.

locals {
  # Who reads each of them follows from local.functions.
  secrets = merge(
    { mongodb-uri = { version = var.mongodb_uri_version } },
    var.mongodb_read_uri_version == null ? {} : { mongodb-read-uri = { version = var.mongodb_read_uri_version } },
    var.notify_channels_version == null ? {} : { notify-channels = { version = var.notify_channels_version } },
    var.page_action_secret_version == null ? {} : {
      page-action-secret = { version = var.page_action_secret_version }
    },
    var.webhook_secrets_version == null ? {} : { webhook-secrets = { version = var.webhook_secrets_version } },
  )

  secret_values = {
    mongodb-read-uri   = var.mongodb_read_uri
    mongodb-uri        = var.mongodb_uri
    notify-channels    = var.notify_channels
    page-action-secret = var.page_action_secret
    webhook-secrets    = var.webhook_secrets
  }

  secret_readers = merge([
    for function, described in local.functions : {
      for secret in values(described.secrets) : "${function}:${secret}" => { function = function, secret = secret }
    }
  ]...)
}

resource "google_secret_manager_secret" "this" {
  for_each = local.secrets

  project   = var.project_id
  secret_id = "${var.prefix}-${each.key}"
  labels    = local.labels

  replication {
    user_managed {
      replicas {
        location = var.region
      }
    }
  }

  depends_on = [time_sleep.services]
}

resource "google_secret_manager_secret_version" "this" {
  for_each = local.secrets

  secret                 = google_secret_manager_secret.this[each.key].id
  secret_data_wo         = local.secret_values[each.key]
  secret_data_wo_version = each.value.version
  deletion_policy        = "DISABLE" # a mistaken change can be taken back

  lifecycle {
    create_before_destroy = true # the functions move to the new version before the old one is disabled
  }
}

resource "google_secret_manager_secret_iam_member" "function" {
  for_each = local.secret_readers

  project   = var.project_id
  secret_id = google_secret_manager_secret.this[each.value.secret].secret_id
  role      = "roles/secretmanager.secretAccessor"
  member    = google_service_account.function[each.value.function].member

  lifecycle {
    create_before_destroy = true # a secret that goes is readable until its function has moved
  }
}
