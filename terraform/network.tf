# The way from the functions into the network of Flink and MongoDB. google_cloudfunctions2_function has no
# direct VPC egress, so it is a connector.

locals {
  vpc_connector = var.vpc_connector == null ? google_vpc_access_connector.this[0].id : var.vpc_connector
}

resource "google_vpc_access_connector" "this" {
  count = var.vpc_connector == null ? 1 : 0

  project       = var.project_id
  region        = var.region
  name          = var.prefix
  network       = var.network
  ip_cidr_range = var.vpc_connector_cidr
  machine_type  = "e2-micro"
  min_instances = 2
  max_instances = 3

  depends_on = [time_sleep.services]
}
