"""Write the codes of a run's images: the same as `pyro-vae encode`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("encode", sys.argv[1:])
