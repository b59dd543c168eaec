"""Evaluate a trained run: the same as `pyro-vae evaluate`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("evaluate", sys.argv[1:])
