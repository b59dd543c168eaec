"""Saved models come back without the code that made them, and without running any code."""

import inspect
import os
import pickle
import random
import subprocess
import sys
import zipfile
from typing import Any

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae

from pyro_vae import VAE, checkpoints, likelihoods, networks, posteriors, priors
from pyro_vae._module import Module, build, describe
from pyro_vae.checkpoints import CheckpointError
from pyro_vae.experiments.configuration import parse
from pyro_vae.recipes import RECIPES


def test_a_model_comes_back_with_its_weights_and_settings(tmp_path):
    vae = small_vae(
        likelihood=likelihoods.Normal(
            networks.ConvDecoder(2, (1, 8, 8)), scale=0.3, learned=True, sigmoid=False
        )
    ).eval()
    checkpoints.save(vae, tmp_path / "vae.pt")
    other = checkpoints.load(tmp_path / "vae.pt")
    x = torch.rand(3, 1, 8, 8)
    assert torch.equal(vae.reconstruct(x), other.reconstruct(x))
    assert torch.equal(vae.encode(x).variance, other.encode(x).variance)
    assert other.likelihood.scale == vae.likelihood.scale
    assert other.likelihood.sigmoid is False


def test_a_model_of_the_command_line_comes_back(tmp_path):
    """Its numbers have types of the parser, which a checkpoint must not name."""
    vae = parse(["--latent-size", "5"]).recipe.build((1, 8, 8))
    checkpoints.save(vae, tmp_path / "vae.pt")
    assert checkpoints.load(tmp_path / "vae.pt").latent_size == 5


def test_a_model_is_rebuilt_without_a_compiler(tmp_path):
    """Torch imports one to compute on "meta", which takes longer than all else."""
    files = []
    for name in ("fashion_conv", "mnist_mlp", "mnist_fc", "fashion_batchnorm"):
        files.append(str(tmp_path / name))
        checkpoints.save(RECIPES[name].build((1, 16, 16)), files[-1])
    code = f"from pyro_vae import checkpoints; print(*map(checkpoints.load, {files}))\n"
    code += "import sys; print(sorted({'sympy', 'torch._dynamo'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\n[]\n") and done.stdout.count("VAE of images") == 4


def test_what_was_shared_is_shared_again():
    class Pair(Module):
        def __init__(self, first, second):
            super().__init__()
            self.first, self.second = first, second

    Pair.__module__ = "pyro_vae.networks"
    networks.Pair, Pair.__qualname__ = Pair, "Pair"
    try:
        encoder = networks.ConvEncoder((1, 8, 8))
        pair = build(describe(Pair(encoder, posteriors.DiagonalNormal(encoder, 2))))
        assert pair.first is pair.second.encoder
    finally:
        del networks.Pair


def test_a_slot_from_outside_the_library_is_asked_for_by_name(tmp_path):
    def my_prior():
        return dist.Normal(torch.zeros(2), 2.0).to_event(1)

    vae = small_vae(prior=my_prior)
    checkpoints.save(vae, tmp_path / "vae.pt")
    with pytest.raises(CheckpointError, match=r"prior was made with .*my_prior.*prior=\.\.\."):
        checkpoints.load(tmp_path / "vae.pt")
    other = checkpoints.load(tmp_path / "vae.pt", prior=my_prior)
    assert other.prior().variance[0] == 4


def test_a_network_from_outside_within_a_slot_is_asked_for_by_its_slot(tmp_path):
    encoder = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    encoder.features = 10
    vae = small_vae(posterior=posteriors.DiagonalNormal(encoder, 2))
    checkpoints.save(vae, tmp_path / "vae.pt")
    with pytest.raises(CheckpointError, match="posterior was made with .*Sequential"):
        checkpoints.load(tmp_path / "vae.pt")
    fresh = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10))
    fresh.features = 10
    posterior = posteriors.DiagonalNormal(fresh, 2)
    other = checkpoints.load(tmp_path / "vae.pt", posterior=posterior)
    assert torch.equal(other.posterior.encoder[1].weight, encoder[1].weight)


def test_a_checkpoint_cannot_name_a_function_to_run(tmp_path):
    vae = small_vae()
    checkpoints.save(vae, tmp_path / "vae.pt")
    contents = torch.load(tmp_path / "vae.pt", weights_only=True)
    contents["slots"]["prior"] = {"class": "os.system", "arguments": {"command": "false"}}
    torch.save(contents, tmp_path / "bad.pt")
    with pytest.raises(CheckpointError, match="os.system"):
        checkpoints.load(tmp_path / "bad.pt")


#: A checkpoint records only the arguments that were given, so that a default is part of its format.
DEFAULTS = {
    "priors.StandardNormal": {},
    "priors.Normal": {"loc": 0.0, "scale": 1.0, "learned": False},
    "priors.Laplace": {"loc": 0.0, "scale": 1.0, "learned": False},
    "priors.MixtureOfGaussians": {"components": 10, "scale": 0.5},
    "priors.VampPrior": {"components": 500},
    "priors.NormalizingFlow": {
        "family": "spline",
        "transforms": 3,
        "hidden": 64,
        "passes": None,
        "activation": "relu",
        "steepest": 1000.0,
    },
    "priors.HypersphereUniform": {},
    "priors.Bernoulli": {"probability": 0.5, "learned": False},
    "priors.Flat": {},
    "likelihoods.Bernoulli": {"gray_levels": False},
    "likelihoods.ContinuousBernoulli": {},
    **{
        f"likelihoods.{name}": {
            "scale": 1.0,
            "learned": False,
            "sigmoid": True,
            "standardized": (0.0, 1.0),
        }
        | extra
        for name, extra in {"Normal": {}, "Laplace": {}, "StudentT": {"degrees": 5.0}}.items()
    },
    "likelihoods.DiscretizedLogistic": {"scale": 0.1, "learned": "value", "sigmoid": True},
    "likelihoods.DiscretizedLogisticMixture": {"components": 10},
    "likelihoods.Categorical": {},
    "posteriors.DiagonalNormal": {"spread": "log_variance"},
    "posteriors.FullNormal": {},
    "posteriors.Laplace": {},
    "posteriors.InverseAutoregressiveFlow": {"transforms": 2, "hidden": 64, "context": 32},
    "posteriors.PlanarFlow": {"transforms": 4},
    "posteriors.PowerSpherical": {},
    "posteriors.Bernoulli": {},
    "posteriors.StraightThroughBernoulli": {},
    "posteriors.Delta": {},
    "networks.ConvEncoder": {"channels": (32, 64, 128), "initialization": "pytorch"},
    "networks.ConvDecoder": {"channels": (128, 64, 32), "initialization": "pytorch"},
    "networks.MLPEncoder": {"hidden": (512,)},
    "networks.MLPDecoder": {"hidden": (512,)},
    "networks.FullyConnectedEncoder": {
        "descriptors": ({"out_features": 400, "activation": "leaky_relu"},)
    },
    "networks.FullyConnectedDecoder": {
        "descriptors": ({"out_features": 400, "activation": "leaky_relu"},)
    },
    "networks.BatchNormEncoder": {
        "channels": (32, 64, 64, 64),
        "strides": (1, 2, 2, 1),
        "slope": 0.2,
    },
    "networks.BatchNormDecoder": {
        "channels": (64, 64, 64, 32),
        "strides": (1, 2, 2, 1),
        "slope": 0.2,
        "normalized": True,
    },
    "networks.HalvingEncoder": {"first": 32, "channels": 64, "smallest": 8, "slope": 0.2},
    "networks.HalvingDecoder": {
        "last": 32,
        "channels": 64,
        "smallest": 8,
        "slope": 0.2,
        "normalized": True,
    },
    "networks.ResNetEncoder": {"channels": (64, 128, 256, 512), "standardized": (0.0, 1.0)},
    "networks.ResNetDecoder": {"channels": (512, 256, 128, 64)},
}


def test_defaults_stay_what_saved_models_were_made_with():
    found = {}
    for module in (priors, likelihoods, posteriors, networks):
        bases = ("Prior", "Likelihood", "Posterior", "Encoder", "Decoder")
        for name, kind in vars(module).items():
            if not isinstance(kind, type) or not issubclass(kind, Module) or kind is Module:
                continue
            if name.startswith("_") or name in bases:
                continue
            parameters = inspect.signature(kind).parameters.values()
            found[f"{module.__name__.removeprefix('pyro_vae.')}.{name}"] = {
                each.name: each.default for each in parameters if each.default is not each.empty
            }
    assert found == DEFAULTS


def test_a_checkpoint_with_weights_of_another_model_is_refused(tmp_path):
    checkpoints.save(small_vae(), tmp_path / "vae.pt")
    other = priors.Normal(2, learned=True)
    with pytest.raises(
        CheckpointError, match=r"(?s)vae\.pt do not fit the slots that were passed.*prior\.loc"
    ):
        checkpoints.load(tmp_path / "vae.pt", prior=other)


@pytest.mark.parametrize("content", [b"", b"no checkpoint", pickle.dumps(priors.Prior)])
def test_a_damaged_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "broken.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="broken.pt"):
        checkpoints.load(path)
    with pytest.raises(CheckpointError, match="There is no checkpoint at"):
        checkpoints.load(tmp_path / "missing.pt")


def test_a_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "vae.pt"
    checkpoints.save(small_vae(), path)
    before = path.read_bytes()

    def full(descriptor):
        raise OSError("disk full")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="disk full"):
        checkpoints.save(small_vae(), path)
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["vae.pt"]


def test_constants_move_with_the_model():
    vae = VAE(priors.StandardNormal(2), *[small_vae().likelihood, small_vae().posterior])
    assert vae.double().prior().base_dist.loc.dtype == torch.double


def altered(path, **slots):
    """Write a checkpoint again with other descriptions of slots."""
    found = checkpoints.contents(path)
    torch.save(found | {"slots": found["slots"] | slots}, path)


@pytest.mark.parametrize(
    "named",
    [
        "pyro_vae.checkpoints.save",
        "pyro_vae._files.write_text",
        "pyro_vae.priors.torch.save",
        "pyro_vae.networks.__builtins__",
        "pyro_vae.vae.VAE",
        "os.system",
        "pyro_vae.commands.main",
        "",
    ],
)
def test_a_checkpoint_calls_nothing_but_slots_and_networks(tmp_path, named):
    """Any function of the package once was called: `save` overwrote a file while `load` ran."""
    marker = tmp_path / "marker"
    checkpoints.save(small_vae(), tmp_path / "vae.pt")
    arguments = {"vae": {"same": 0}, "path": str(marker), "text": "written"}
    altered(tmp_path / "vae.pt", prior={"class": named, "arguments": arguments})
    with pytest.raises(CheckpointError, match="prior"):
        checkpoints.load(tmp_path / "vae.pt")
    assert not marker.exists()


@pytest.mark.parametrize(
    "prior",
    [
        {"class": "pyro_vae.priors.StandardNormal", "arguments": {"latent_size": 10**13}},
        {"class": "pyro_vae.priors.Normal", "arguments": {"latent_size": 10**13}},
        {
            "class": "pyro_vae.priors.NormalizingFlow",
            "arguments": {"latent_size": 2, "hidden": [10**9]},
        },
        {
            "class": "pyro_vae.priors.VampPrior",
            "arguments": {"latent_size": 2, "components": 10**10},
        },
        {"class": "pyro_vae.priors.Normal", "arguments": {"latent_size": "x" * 100}},
        {"class": "pyro_vae.priors.Normal", "arguments": {"wrong": 1}},
        {"class": "pyro_vae.priors.Normal"},
        {"same": 99},
        {"items": 3},
        [],
        7,
        None,
    ],
    ids=str,
)
def test_a_description_that_fits_nothing_is_refused_before_memory_is_taken(tmp_path, prior):
    checkpoints.save(small_vae(), tmp_path / "vae.pt")
    altered(tmp_path / "vae.pt", prior=prior)
    with pytest.raises(CheckpointError, match=r"vae\.pt|parameters"):
        checkpoints.load(tmp_path / "vae.pt")


def of_flow(shape: tuple[int, ...] = (1, 8, 8), hidden: int = 8) -> posteriors.Posterior:
    return posteriors.InverseAutoregressiveFlow(networks.MLPEncoder(shape, (hidden,)), 2)


@pytest.mark.parametrize(
    "large",
    [
        {"prior": priors.MixtureOfGaussians(2, 5000)},
        {"prior": priors.MixtureOfGaussians(100, 2000)},
        {"prior": priors.NormalizingFlow(2, passes=10**4)},
        {"prior": priors.NormalizingFlow(2, "affine", transforms=200, hidden=8)},
        {"prior": priors.NormalizingFlow(100, hidden=300)},
        {"prior": priors.VampPrior(2, 5000)},
        {"prior": priors.VampPrior(2, 100), "posterior": of_flow()},
        {"posterior": of_flow(hidden=4000)},
    ],
    ids=repr,
)
def test_what_is_large_and_whole_is_rebuilt(tmp_path, large):
    vae = small_vae(**large).eval()
    checkpoints.save(vae, tmp_path / "vae.pt")
    found = checkpoints.load(tmp_path / "vae.pt").state_dict()
    assert all(torch.equal(value, found[name]) for name, value in vae.state_dict().items())


@pytest.mark.parametrize(
    ("slot", "small", "altered_to"),
    [
        ("prior", priors.MixtureOfGaussians(2, 3), {"latent_size": 10**4, "components": 10**4}),
        ("prior", priors.NormalizingFlow(2), {"latent_size": 10**3, "transforms": 16}),
        ("prior", priors.NormalizingFlow(2), {"hidden": 5000}),
        ("posterior", of_flow(), {"transforms": 1000}),
        (
            "posterior",
            of_flow(),
            {"encoder": describe(networks.MLPEncoder((1, 400, 400), (2000,)))},
        ),
        (
            "posterior",
            of_flow(),
            {"latent_size": describe(networks.MLPDecoder(1000, (1, 500, 500)))},
        ),
    ],
    ids=lambda value: type(value).__name__,
)
@pytest.mark.parametrize("of_ones_own", [False, True])
def test_a_small_file_does_not_take_much_memory(tmp_path, slot, small, altered_to, of_ones_own):
    """By one number alone, none of these was too large."""
    checkpoints.save(small_vae(**{slot: small}), tmp_path / "vae.pt")
    found = checkpoints.contents(tmp_path / "vae.pt")["slots"][slot]
    found["arguments"] |= altered_to
    altered(tmp_path / "vae.pt", **{slot: found})
    passed = {"posterior": small_vae().posterior} if of_ones_own and slot == "prior" else {}
    with pytest.raises(CheckpointError, match="more memory is asked for"):
        checkpoints.load(tmp_path / "vae.pt", **passed)


@pytest.mark.parametrize("of_ones_own", [False, True])
def test_pseudo_inputs_that_are_not_stored_are_not_made(tmp_path, of_ones_own):
    shape = (3, 32, 32)
    posterior = posteriors.DiagonalNormal(networks.ConvEncoder(shape, (4,)), 2)
    likelihood = likelihoods.Normal(networks.ConvDecoder(2, shape, (4,)))
    checkpoints.save(VAE(priors.VampPrior(2, 3), likelihood, posterior), tmp_path / "vae.pt")
    found = checkpoints.contents(tmp_path / "vae.pt")["slots"]["prior"]
    found["arguments"]["components"] = 150_000
    altered(tmp_path / "vae.pt", prior=found)
    with pytest.raises(CheckpointError, match="more memory is asked for"):
        checkpoints.load(tmp_path / "vae.pt", **{"posterior": posterior} if of_ones_own else {})


@pytest.mark.parametrize("kind", [torch.float64, torch.bfloat16])
def test_a_model_of_another_precision_keeps_it(tmp_path, kind):
    vae = small_vae().to(kind).eval()
    checkpoints.save(vae, tmp_path / "vae.pt")
    found, x = checkpoints.load(tmp_path / "vae.pt"), torch.rand(3, 1, 8, 8, dtype=kind)
    assert torch.equal(found.reconstruct(x), vae.reconstruct(x))
    assert found.reconstruct(x).dtype == kind


def test_arrays_and_ranges_as_arguments_come_back(tmp_path):
    prior = priors.Normal(2, loc=np.array([1.0, 2.0]), scale=np.array([3.0, 4.0]))
    encoder = networks.MLPEncoder((1, 8, 8), hidden=range(4, 6))
    vae = small_vae(prior=prior, posterior=posteriors.DiagonalNormal(encoder, 2))
    checkpoints.save(vae, tmp_path / "vae.pt")
    found = checkpoints.load(tmp_path / "vae.pt")
    assert found.prior().mean.tolist() == [1, 2]
    assert [each.out_features for each in found.posterior.encoder.layers[1::2]] == [4, 5]


def odd_contents() -> dict[str, Any]:
    """What a file may be made to hold, by name: a function of its contents."""
    text, nested = "x" * 10**5, torch.nested.nested_tensor([torch.ones(2)])
    weights = {"prior.loc": torch.ones(2)}
    spoiled = torch.ones(2)
    spoiled.numel = 7
    modules = {"class": "pyro_vae.networks.Encoder", "arguments": {}}
    return {
        "a long text, again and again": lambda found: found | {"format": [text] * 10**4},
        "a tensor as its format": lambda found: found | {"format": torch.ones(2)},
        "a weight without a name": lambda found: found | {"weights": {3: torch.ones(2)}},
        "a nested tensor": lambda found: found | {"weights": weights | {"a": nested}},
        "a tensor of 8 bits": lambda found: (
            found | {"weights": weights | {"a": torch.ones(2).to(torch.float8_e4m3fn)}}
        ),
        "a tensor with an attribute": lambda found: found | {"weights": weights | {"a": spoiled}},
        "a tensor without values": lambda found: (
            found | {"weights": weights | {"a": torch.ones(2, device="meta")}}
        ),
        "bytes": lambda found: found | {"format": b"0"},
        "modules without end": lambda found: (
            found | {"slots": found["slots"] | {"prior": [modules] * 10**4}}
        ),
    }


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("name", odd_contents())
def test_odd_contents_are_refused_in_words(tmp_path, name):
    path = tmp_path / "vae.pt"
    checkpoints.save(small_vae(), path)
    torch.save(odd_contents()[name](checkpoints.contents(path)), path)
    with pytest.raises(CheckpointError):
        checkpoints.load(path)


def test_torch_reads_nothing_but_what_was_verified(tmp_path):
    """It finds the records of a file in its own ways, and would read another file than we do."""
    path, vae = tmp_path / "vae.pt", small_vae()
    checkpoints.save(vae, path)
    sound, found = path.read_bytes(), checkpoints.contents(path)
    for value in found["weights"].values():
        value.fill_(1)
    torch.save(found, path, _use_new_zipfile_serialization=False)
    path.write_bytes(path.read_bytes() + sound)  # Torch would begin at the first byte.
    loaded = checkpoints.load(path).state_dict()
    assert all(torch.equal(value, loaded[name]) for name, value in vae.state_dict().items())
    path.write_bytes(sound)
    with zipfile.ZipFile(path, "a") as archive:  # Torch would not tell it from the other.
        archive.writestr("vae/DATA.pkl", archive.read(archive.namelist()[0]))
    with pytest.raises(CheckpointError, match="no single description"):
        checkpoints.load(path)


def test_a_hundred_thousand_layers_are_not_built(tmp_path):
    vae = small_vae(posterior=posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2))
    checkpoints.save(vae, tmp_path / "vae.pt")
    found = checkpoints.contents(tmp_path / "vae.pt")["slots"]["posterior"]
    found["arguments"]["encoder"]["arguments"]["hidden"] = [1] * 100_000
    altered(tmp_path / "vae.pt", posterior=found)
    with pytest.raises(
        CheckpointError, match="more memory is asked for than its weights account for"
    ):
        checkpoints.load(tmp_path / "vae.pt")


def test_every_flipped_bit_is_noticed_or_of_no_consequence(tmp_path):
    """torch compares no checksums: 294 of 300 flips once loaded other weights in silence."""
    path, rng = tmp_path / "vae.pt", random.Random(0)
    checkpoints.save(small_vae(), path)
    sound, expected = path.read_bytes(), checkpoints.contents(path)
    refused = 0
    for bit in rng.sample(range(8 * len(sound)), 300):
        content = bytearray(sound)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            found = checkpoints.contents(path)
        except CheckpointError:
            refused += 1
            continue
        assert str(found["slots"]) == str(expected["slots"])
        for name, value in expected["weights"].items():
            assert torch.equal(found["weights"][name], value)
    assert refused > 200  # The others hit a date, say.


def test_a_file_that_unfolds_is_refused(tmp_path):
    checkpoints.save(small_vae(), tmp_path / "vae.pt")
    with (
        zipfile.ZipFile(tmp_path / "vae.pt") as sound,
        zipfile.ZipFile(tmp_path / "deflated.pt", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for name in sound.namelist():
            bomb.writestr(name, sound.read(name))
    with pytest.raises(CheckpointError, match="deflated.pt .*compressed"):
        checkpoints.load(tmp_path / "deflated.pt")
    found = checkpoints.contents(tmp_path / "vae.pt")
    found["weights"]["prior.huge"] = torch.zeros(1).expand(10**13)
    torch.save(found, tmp_path / "expanded.pt")
    with pytest.raises(CheckpointError, match="expanded.pt .*larger than the file"):
        checkpoints.load(tmp_path / "expanded.pt")


def test_weights_that_are_not_finite_are_refused(tmp_path):
    vae = small_vae()
    with torch.no_grad():
        next(vae.parameters()).view(-1)[0] = float("nan")
    checkpoints.save(vae, tmp_path / "vae.pt")
    with pytest.raises(CheckpointError, match="not finite: likelihood"):
        checkpoints.load(tmp_path / "vae.pt")


@pytest.mark.parametrize("later", [2, -1, "1", None])
def test_a_format_of_a_later_version_is_refused_by_name(tmp_path, later):
    checkpoints.save(small_vae(), tmp_path / "vae.pt")
    torch.save(checkpoints.contents(tmp_path / "vae.pt") | {"format": later}, tmp_path / "vae.pt")
    with pytest.raises(CheckpointError, match="vae.pt has the format .* update it"):
        checkpoints.load(tmp_path / "vae.pt")


def test_a_file_makes_nothing_but_tensors(tmp_path):
    """torch itself would make as long a `bytearray` as a few bytes ask for."""
    checkpoints.save(small_vae(), tmp_path / "vae.pt")
    found = checkpoints.contents(tmp_path / "vae.pt")
    torch.save(found | {"extra": bytearray(1 << 10)}, tmp_path / "vae.pt")
    with pytest.raises(CheckpointError, match="vae.pt .*names"):
        checkpoints.load(tmp_path / "vae.pt")


def test_a_failure_of_the_disk_is_not_taken_for_damage(tmp_path, monkeypatch):
    """Else a sound checkpoint would give way to an older one after one failed reading."""
    checkpoints.save(small_vae(), tmp_path / "last.pt")
    checkpoints.save(small_vae(), tmp_path / "last.previous.pt")
    monkeypatch.setattr(os, "open", lambda *_, **__: (_ for _ in ()).throw(OSError(5, "broken")))
    with pytest.raises(CheckpointError, match="broken"):
        checkpoints.newest_contents(tmp_path / "last.pt")


def test_a_run_folder_is_loaded_by_its_best_weights(tmp_path):
    vae = small_vae()
    checkpoints.save(vae, tmp_path / "model_weights" / "best_vae.pt")
    again = checkpoints.load(tmp_path)
    for name, value in vae.state_dict().items():
        assert torch.equal(again.state_dict()[name], value)
    with pytest.raises(CheckpointError, match="best_vae.pt"):
        checkpoints.load(tmp_path / "model_weights")
