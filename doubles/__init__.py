"""Doubles of the Kubernetes API and Cloud Scheduler, for local runs and tests."""
