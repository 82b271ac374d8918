"""`python -m flinkjobs.cli` is the command `flinkjobs`."""

from flinkjobs.cli.app import main

main()
