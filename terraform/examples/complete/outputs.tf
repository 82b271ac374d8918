output "client_environment" {
  description = "As of the module."
  value       = module.flinkjobs.client_environment
}

output "jobs_url" {
  description = "Address of the page of job instances."
  value       = module.flinkjobs.jobs_url
}

output "submit_url" {
  description = "Address of submit."
  value       = module.flinkjobs.submit_url
}

output "sync_url" {
  description = "Address of sync."
  value       = module.flinkjobs.sync_url
}
