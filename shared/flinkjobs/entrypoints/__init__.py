"""Composition roots: one module per function and one for the command."""
