"""`python -m colonnade`."""

from colonnade.cli import main

main()
