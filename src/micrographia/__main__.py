"""`python -m micrographia` is the command `micrographia`."""

from micrographia.cli import main

main()
