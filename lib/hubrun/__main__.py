"""`python -m hubrun`: the command line."""

from hubrun.cli.main import main

main()
