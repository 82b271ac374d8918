"""What Kubernetes and Flink say now, as values. Read only."""
