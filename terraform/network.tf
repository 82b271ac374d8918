# The way from the functions into the network of Flink and MongoDB: straight from a subnet of it, or through a
# Serverless VPC Access connector, which costs the time of its virtual machines.

locals {
  is_direct  = var.vpc_connector == null && var.vpc_access == "direct"
  subnetwork = coalesce(var.subnetwork, var.network)

  vpc_connector = one(concat(google_vpc_access_connector.this[*].id, var.vpc_connector[*]))
}

# The subnet of the instances. Cloud Run takes addresses in blocks of 16, two for each instance:
# https://cloud.google.com/run/docs/configuring/vpc-direct-vpc#direct-vpc-ip-allocation
data "google_compute_subnetwork" "this" {
  count = local.is_direct ? 1 : 0

  project = var.project_id
  region  = var.region
  name    = local.subnetwork

  lifecycle {
    postcondition {
      condition     = try(tonumber(split("/", self.ip_cidr_range)[1]) <= 26, false)
      error_message = "The subnet ${local.subnetwork} must be a /26 at least. Name another subnetwork, or set vpc_access to connector."
    }

    postcondition {
      condition     = !(var.sync_now || var.page_actions) || self.private_ip_google_access
      error_message = "sync_now and page_actions need Private Google Access on the subnet ${local.subnetwork}: only so do jobs and submit reach sync, and jobs submit from inside."
    }
  }
}

resource "google_vpc_access_connector" "this" {
  count = var.vpc_connector == null && !local.is_direct ? 1 : 0

  project       = var.project_id
  region        = var.region
  name          = var.prefix
  network       = var.network
  ip_cidr_range = var.vpc_connector_cidr
  machine_type  = "e2-micro"
  min_instances = 2
  max_instances = 3

  lifecycle {
    create_before_destroy = true # one that goes stays until the functions have moved
  }

  depends_on = [time_sleep.services]
}
