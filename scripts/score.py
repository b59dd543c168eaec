"""Write the scores of a run's images: the same as `pyro-vae score`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("score", sys.argv[1:])
