"""Checks the parts of an installation and names the cause of a failure."""
