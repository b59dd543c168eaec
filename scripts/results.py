"""Put many runs' numbers into one table: the same as `pyro-vae results`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("results", sys.argv[1:])
