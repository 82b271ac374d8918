terraform {
  # 1.11 is the first version with write-only arguments: no secret is kept in a state or a plan.
  required_version = ">= 1.11"

  required_providers {
    archive = {
      source  = "hashicorp/archive"
      version = "~> 2.7"
    }
    google = {
      # 7.26 is the first version that knows direct VPC egress and refuses it together with a connector.
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
