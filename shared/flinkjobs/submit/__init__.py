"""Accepts a job: its record and its Kubernetes Job."""
