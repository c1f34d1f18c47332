"""python -m hkt_lite …  is the `hkt` command, for machines without its script or without make."""

from .cli import main

main()
