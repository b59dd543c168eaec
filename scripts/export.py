"""Export the networks of a trained run: the same as `pyro-vae export`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("export", sys.argv[1:])
