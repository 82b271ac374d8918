"""Observations of Kubernetes and Flink, as values. Read only."""
