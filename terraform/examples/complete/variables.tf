variable "alert_email" {
  description = "Where the alerts go."
  type        = string
}

variable "caller_ingress" {
  description = "As of the module; `ALLOW_ALL` to call submit and open the page from outside of the network."
  type        = string
  default     = "ALLOW_INTERNAL_AND_GCLB"
}

variable "callers" {
  description = "Who may submit jobs and open the page, such as `user:you@example.com`."
  type        = set(string)
}

variable "flink_image" {
  description = "The image that holds Flink, PyFlink and the scripts."
  type        = string
}

variable "flink_rest_url" {
  description = "REST API of the Flink cluster."
  type        = string
}

variable "gke_cluster" {
  description = "The GKE cluster: `projects/…/locations/…/clusters/…`."
  type        = string
}

variable "manage_namespace" {
  description = "Whether to make the namespace of the Jobs; `terraform destroy` then deletes it."
  type        = bool
  default     = false
}

variable "mongodb_read_uri" {
  description = "Connection string of a MongoDB user with the role `read`, for the page; best given as TF_VAR_mongodb_read_uri."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "mongodb_uri" {
  description = "Connection string of MongoDB for submit, sync and cleanup; best given as TF_VAR_mongodb_uri."
  type        = string
  ephemeral   = true
  sensitive   = true
}

variable "network" {
  description = "Name of the VPC network of the cluster and of MongoDB."
  type        = string
  default     = "default"
}

variable "project_id" {
  description = "The Google Cloud project."
  type        = string
}

variable "region" {
  description = "The region of everything."
  type        = string
  default     = "europe-west1"
}

variable "settings" {
  description = "Further settings, as of the module, such as `{ FLINK_JOBMANAGER = \"flink-jobmanager:8081\" }`."
  type        = map(string)
  default     = {}
}

variable "subnetwork" {
  description = "Name of the subnet that the functions get their addresses from, a /26 at least; null: the one that is called as the network."
  type        = string
  default     = null
}

variable "sync_cron" {
  description = "When sync runs, in unix-cron; the budgets follow."
  type        = string
  default     = "*/3 * * * *"
}

variable "vpc_access" {
  description = "As of the module: `direct`, or `connector`."
  type        = string
  default     = "direct"
}
