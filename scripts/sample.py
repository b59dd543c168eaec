"""Write new images of a trained run: the same as `pyro-vae sample`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("sample", sys.argv[1:])
