"""`python -m pyro_vae`: the same as the installed program `pyro-vae`."""

from pyro_vae.commands import main

if __name__ == "__main__":  # Workers that read images ahead import this file, too.
    main()
