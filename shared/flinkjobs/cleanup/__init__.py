"""Deletes finished Kubernetes Jobs whose records are settled."""
