"""The only modules that import a client library; each turns its exceptions into `flinkjobs.domain.errors`."""
