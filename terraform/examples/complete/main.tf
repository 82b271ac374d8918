# Everything but the network, the cluster and MongoDB, which must exist: fill in terraform.tfvars, then
# `terraform init` and `terraform apply`.

terraform {
  required_version = ">= 1.11"

  # Where several people apply, keep the state in a bucket, and .terraform.lock.hcl in your repository:
  # backend "gcs" {
  #   bucket = "my-project-terraform"
  #   prefix = "flinkjobs"
  # }

  # All that the module uses, so that `terraform test` can stand in for each of them.
  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    google = {
      source  = "hashicorp/google"
      version = ">= 7.26, < 9"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = ">= 2.35, < 4"
    }
    time = {
      source  = "hashicorp/time"
      version = "~> 0.12"
    }
  }
}

locals {
  cluster = split("/", var.gke_cluster) # projects, PROJECT, locations, LOCATION, clusters, NAME
}

provider "google" {
  project = var.project_id
  region  = var.region
}

data "google_client_config" "current" {}

data "google_container_cluster" "this" {
  project  = local.cluster[1]
  location = local.cluster[3]
  name     = local.cluster[5]
}

provider "kubernetes" {
  host  = "https://${data.google_container_cluster.this.control_plane_endpoints_config[0].dns_endpoint_config[0].endpoint}"
  token = data.google_client_config.current.access_token
}

module "flinkjobs" {
  source = "../.."

  project_id        = var.project_id
  region            = var.region
  gke_cluster       = var.gke_cluster
  manage_kubernetes = true
  manage_namespace  = var.manage_namespace

  flink_image    = var.flink_image
  flink_rest_url = var.flink_rest_url
  network        = var.network
  subnetwork     = var.subnetwork
  vpc_access     = var.vpc_access
  settings       = var.settings
  sync_cron      = var.sync_cron

  mongodb_uri              = var.mongodb_uri
  mongodb_read_uri         = var.mongodb_read_uri
  mongodb_read_uri_version = 1

  caller_ingress  = var.caller_ingress
  submit_invokers = var.callers
  jobs_invokers   = var.callers

  notification_channels = [google_monitoring_notification_channel.email.name]
}

resource "google_monitoring_notification_channel" "email" {
  display_name = "flinkjobs: on call"
  type         = "email"
  labels       = { email_address = var.alert_email }
}
