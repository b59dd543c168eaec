"""Draw a trained run: the same as `pyro-vae analyze`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("analyze", sys.argv[1:])
