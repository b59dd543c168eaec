"""Train a model, evaluate it and draw what it learned: the same as `pyro-vae train`."""

import sys

from pyro_vae.commands import run

if __name__ == "__main__":
    run("train", sys.argv[1:])
