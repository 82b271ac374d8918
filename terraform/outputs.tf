output "artifact_bucket" {
  description = "The bucket of the functions' source."
  value       = google_storage_bucket.artifacts.name
}

output "cleanup_url" {
  description = "Address of cleanup, also the audience of the token that a call needs."
  value       = google_cloudfunctions2_function.this["cleanup"].service_config[0].uri
}

output "client_environment" {
  description = "What `flinkjobs` reads to manage the schedules and to call the functions, by variable of the environment."
  value = {
    CLEANUP_ATTEMPT_DEADLINE_SECONDS = tostring(local.schedules.cleanup.deadline_seconds)
    CLEANUP_CRON                     = var.cleanup_cron
    CLEANUP_SCHEDULE                 = google_cloud_scheduler_job.this["cleanup"].name
    CLEANUP_URL                      = google_cloudfunctions2_function.this["cleanup"].service_config[0].uri
    FLINKJOBS_AUTH                   = "google"
    JOBS_URL                         = local.jobs_uri
    SCHEDULER_PARENT                 = "projects/${var.project_id}/locations/${var.region}"
    SCHEDULER_SERVICE_ACCOUNT        = google_service_account.invoker.email
    SCHEDULER_TIME_ZONE              = var.time_zone
    SUBMIT_URL                       = google_cloudfunctions2_function.this["submit"].service_config[0].uri
    SYNC_ATTEMPT_DEADLINE_SECONDS    = tostring(local.schedules.sync.deadline_seconds)
    SYNC_CRON                        = var.sync_cron
    SYNC_SCHEDULE                    = google_cloud_scheduler_job.this["sync"].name
    SYNC_URL                         = google_cloudfunctions2_function.this["sync"].service_config[0].uri
  }
}

output "dashboard" {
  description = "The dashboard's name in Cloud Monitoring."
  value       = google_monitoring_dashboard.this.id
}

output "invoker" {
  description = "The service account that Cloud Scheduler calls sync and cleanup as."
  value       = google_service_account.invoker.email
}

output "jobs_url" {
  description = "Address of the page of job instances, also the audience of the token that a call needs where `iap_members` is empty."
  value       = local.jobs_uri
}

output "kubernetes_users" {
  description = "By function, the names under which Kubernetes' RBAC may know its identity."
  value       = local.kubernetes_users
}

output "schedules" {
  description = "Names of the two Cloud Scheduler jobs, by function."
  value       = { for function, job in google_cloud_scheduler_job.this : function => job.name }
}

output "secrets" {
  description = "The secrets in Secret Manager."
  value       = { for name, secret in google_secret_manager_secret.this : name => secret.secret_id }
}

output "service_accounts" {
  description = "By function, the service account that it runs as."
  value       = { for function, account in google_service_account.function : function => account.email }
}

output "submit_url" {
  description = "Address of submit, also the audience of the token that a call needs."
  value       = google_cloudfunctions2_function.this["submit"].service_config[0].uri
}

output "sync_url" {
  description = "Address of sync, also the audience of the token that a call needs."
  value       = google_cloudfunctions2_function.this["sync"].service_config[0].uri
}
