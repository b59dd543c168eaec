"""The README's programs run as they stand, and with another prior in place of the first."""

import re
from pathlib import Path

import pytest

from pyro_vae import VAE, evaluate, networks, posteriors, priors
from pyro_vae.experiments.configuration import parse

README = Path(__file__).parent.parent / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(), re.DOTALL)


def test_every_program_runs_in_the_order_of_reading(capsys):
    names: dict = {"__name__": "readme"}
    for block in BLOCKS:
        exec(block, names)
    assert names["new"].shape == (16, 1, 8, 8)
    printed = capsys.readouterr().out
    assert "rate, KL(q(z|x) || p(z))" in printed and "nats per image" in printed
    assert "not a normalized density of gray levels" in printed
    assert "Not collapsed: 2 of 2 latent dimensions are active" in printed
    found = evaluate(names["mine"], names["images"].test)
    assert found.latent_size == 2 and names["mine"].sample(3).shape == (3, 1, 8, 8)
    own = VAE(
        names["MyPrior"](3),
        names["MyLikelihood"](networks.ConvDecoder(3, (1, 8, 8))),
        posteriors.DiagonalNormal(names["MyNetwork"]((1, 8, 8)), 3),
    )
    assert evaluate(own, names["images"].test).latent_size == 3


def test_its_own_parts_are_taken_by_the_command_line(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    imports = "import torch\nimport pyro.distributions as dist\n"
    imports += "from pyro_vae import likelihoods, networks, posteriors, priors\n"
    own = next(block for block in BLOCKS if "class MyPrior" in block)
    likelihood = next(block for block in BLOCKS if "class MyLikelihood" in block)
    likelihood = likelihood[likelihood.index("class MyLikelihood") :].split("\n\n\n")[0]
    (tmp_path / "readme_parts.py").write_text(f"{imports}\n{own}\n\n{likelihood}\n")
    parts = {"prior": "MyPrior", "likelihood": "MyLikelihood", "encoder": "MyNetwork"}
    given = [part for name, each in parts.items() for part in (f"--{name}", f"readme_parts.{each}")]
    recipe = parse(["--data", "digits", "--latent-size", "5", *given]).recipe
    vae = recipe.build((1, 8, 8))
    assert vae.latent_size == 5 and type(vae.likelihood).__name__ == "MyLikelihood"
    assert type(vae.posterior.encoder).__name__ == "MyNetwork"


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
