"""Deletes the Kubernetes objects of finished submissions once their records are settled."""
