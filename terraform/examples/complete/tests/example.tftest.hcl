# `terraform test` runs this with mocked providers and the values of terraform.tfvars: no account, nothing is made.

mock_provider "google" {
  mock_data "google_compute_subnetwork" {
    defaults = {
      ip_cidr_range = "10.132.0.0/20"
    }
  }
  mock_data "google_container_cluster" {
    defaults = {
      control_plane_endpoints_config = [{ dns_endpoint_config = [{ endpoint = "gke-0123456789.europe-west1.gke.goog" }] }]
    }
  }
  mock_data "google_project" {
    defaults = {
      number = "123456789012"
    }
  }
}

mock_provider "archive" {}

mock_provider "kubernetes" {}

mock_provider "time" {}

variables {
  mongodb_read_uri = "mongodb://reader@10.0.0.6"
  mongodb_uri      = "mongodb://writer@10.0.0.6"
}

run "as_it_is_filled_in" {
  command = plan

  assert {
    condition     = output.client_environment.SYNC_CRON == var.sync_cron
    error_message = "The schedule is the one of terraform.tfvars."
  }
}

run "another_frequency" {
  command = plan

  variables {
    sync_cron = "*/1 * * * *"
  }

  assert {
    condition = (
      output.client_environment.SYNC_CRON == "*/1 * * * *"
      && output.client_environment.SYNC_ATTEMPT_DEADLINE_SECONDS == "55"
    )
    error_message = "The budgets follow the frequency."
  }
}
