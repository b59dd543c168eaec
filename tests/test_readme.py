"""The README's programs run as they stand, and with another prior in place of the first."""

import re
from pathlib import Path

import pytest

from pyro_vae import VAE, priors

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_every_program_runs_in_the_order_of_reading(capsys):
    names: dict = {}
    for block in BLOCKS:
        exec(block, names)
    assert names["new"].shape == (16, 1, 8, 8)
    printed = capsys.readouterr().out
    assert "rate, KL(q(z|x) || p(z))" in printed and "nats per image" in printed
    assert "not a normalized density of gray levels" in printed
    assert "Not collapsed: 2 of 2 latent dimensions are active" in printed
    VAE(names["my_prior"], names["vae"].likelihood, names["vae"].posterior).sample(3)


@pytest.mark.parametrize(
    "prior", ["Laplace(2)", "MixtureOfGaussians(2)", "VampPrior(2)", "NormalizingFlow(2)"]
)
def test_the_first_program_with_another_prior(prior):
    program = BLOCKS[0].replace("StandardNormal(2)", prior).replace("epochs=30", "epochs=1")
    assert prior in program and "epochs=1," in program
    names: dict = {}
    exec(program, names)
    assert isinstance(names["vae"].prior, getattr(priors, prior.split("(")[0]))
    assert names["new"].shape == (16, 1, 8, 8)
