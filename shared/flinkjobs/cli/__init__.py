"""`flinkjobs` on the command line: the functions and the records, for a person on call and for scripts."""

from flinkjobs.cli.app import main

__all__ = ["main"]
