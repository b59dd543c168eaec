"""Write reconstructions of a run's images: the same as `pyro-vae reconstruct`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("reconstruct", sys.argv[1:])
