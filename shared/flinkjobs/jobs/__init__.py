"""The read side: list, details, statistics, Prometheus metrics."""
