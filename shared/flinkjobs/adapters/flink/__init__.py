"""The Flink REST API, over httpx."""
