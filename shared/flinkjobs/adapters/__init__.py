"""The only modules that import a client library; each maps its exceptions to `flinkjobs.domain.errors`."""
