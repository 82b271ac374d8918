# Everything from an empty project: fill in terraform.tfvars, then `terraform init` and `terraform apply`.

terraform {
  required_version = ">= 1.11"

  # All that the module uses, so that `terraform test` can stand in for each of them.
  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    google = {
      source  = "hashicorp/google"
      version = ">= 6.37, < 8"
    }
    kubernetes = {
      source  = "hashicorp/kubernetes"
      version = "~> 2.35"
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
  mongodb_uri    = var.mongodb_uri
  network        = var.network
  settings       = var.settings
  sync_cron      = var.sync_cron

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
