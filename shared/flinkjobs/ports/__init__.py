"""Protocols that the adapters implement, one module per peer."""
