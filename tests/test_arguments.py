"""Bad arguments: every public constructor and function answers each in words that name it."""

import copy
import inspect
import math
import pickle
from collections.abc import Callable, Iterator
from typing import Annotated, Any, Literal

import numpy as np
import pyro.distributions as dist
import pytest
import torch
from conftest import small_vae
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from pyro_vae import (
    VAE,
    PyroVAEError,
    annealing,
    data,
    evaluate,
    evaluation,
    likelihoods,
    networks,
    objectives,
    posteriors,
    priors,
    schedules,
    slots,
)
from pyro_vae.analysis import (
    animation,
    classes,
    comparison,
    embeddings,
    interpolation,
    latents,
    manifolds,
    probes,
    projections,
    reconstructions,
    samples,
    stages,
    training_curves,
    traversals,
)
from pyro_vae.data import ImageData
from pyro_vae.slots import SlotError, check_slots

SHAPE, D = (1, 8, 8), 3
NAN, INF = math.nan, math.inf
DIGITS = data.load("digits")
FEW = DIGITS.test.select(slice(12))
LABELED = DIGITS.train.select(slice(40))
ATTRIBUTED = ImageData(
    FEW.images, FEW.labels, FEW.class_names, {"hair": torch.arange(12) % 2}, pixels="gray"
)
MODEL = small_vae(latent_size=D).eval()
X, Z = torch.rand(4, *SHAPE), torch.randn(12, D)
ENCODER, DECODER = networks.MLPEncoder(SHAPE, (8,)), networks.MLPDecoder(D, SHAPE, (8,))
FIGURES = {"one": latents.rates(Z, None)}

#: A value that every function accepts, by the name of the parameter.
GOOD: dict[str, Any] = {
    "active": 2,
    "ax": FIGURES["one"].axes[0],
    "batch_size": 4,
    "codes": Z,
    "decoder": DECODER,
    "distortion": torch.rand(12),
    "draws": Z,
    "elbo": torch.rand(12),
    "encoder": ENCODER,
    "figures": FIGURES,
    "image_shape": SHAPE,
    "images": FEW,
    "latent_size": D,
    "likelihood": MODEL.likelihood,
    "means": Z,
    "n": 2,
    "nats": 10.0,
    "pair": FEW.select(slice(2)),
    "points": [("a", 1.0, 2.0), ("b", 2.0, 1.0)],
    "posterior": MODEL.posterior,
    "prior": MODEL.prior,
    "rate": 1.0,
    "samples": 2,
    "seed": 0,
    "size": D,
    "stages": [(0, Z), (1, Z)],
    "steps": 3,
    "strides": (2, 1),
    "test": FEW,
    "test_codes": Z,
    "train": LABELED,
    "train_codes": torch.randn(40, D),
    "vae": MODEL,
    "x": X,
    "z": Z,
}
#: Values that differ from those of other functions with such a parameter.
OWN: dict[tuple[str, str], Any] = {
    ("attribute_scatters", "images"): ATTRIBUTED,
    ("attribute_grouping", "images"): ATTRIBUTED,
    ("attribute_grouping", "name"): "hair",
    ("image_frames", "images"): X,
    ("nearest_training_images", "images"): X,
    ("nearest_training_images", "k"): 2,
    ("path", "start"): Z[0],
    ("path", "end"): Z[1],
    ("rates", "rate"): torch.rand(D),
    ("training_curves", "history"): [{"epoch": 1, "train_loss": 1.0, "learning_rate": 1e-3}],
    ("training_steps", "steps"): np.random.rand(5, 4),
    ("predictions", "test"): FEW,
    ("prior_range", "dimension"): 0,
    ("TotalCorrelation", "images"): 10,
    ("VampPrior", "components"): 3,
}

HUGE = 10**400
SMALLER = ImageData(torch.zeros(12, 1, 7, 8, dtype=torch.uint8))
EMPTY = FEW.select(slice(0, 0))
NO_NUMBERS = ["a", [], None, object(), torch.zeros(2), NAN, INF]
BAD: dict[type, list[Any]] = {
    bool: ["yes", 2, None, NAN, [], torch.zeros(2)],
    int: [*NO_NUMBERS, True, 2.5, -1, 10**13],
    float: [*NO_NUMBERS, True, HUGE],
    str: [5, None, [], "nonsense", NAN],
    tuple: [5, "abc", None, (NAN, NAN), ("a", "b"), (2.5,), (-1,), (0, 0, 0), object()],
    nn.Module: ["a", 5, None, networks.MLPEncoder, torch.zeros(2)],
    VAE: ["a", 5, None, VAE, ENCODER],
    ImageData: [
        "a", 5, None, X, DIGITS, EMPTY, SMALLER,
    ],
    torch.Tensor: [
        "a", 5, None, [1.0], np.zeros(3), torch.zeros(0, 3), torch.zeros(12, D, dtype=torch.int),
        torch.full((12, D), NAN), torch.full((4, *SHAPE), INF), torch.zeros(2, 2, 2, 2, 2, 2),
    ],
    list: [5, None, "abc", [], object()],
    dict: [5, None, "abc", [], {}],
    np.ndarray: [5, None, "abc", [], np.zeros((0, 4)), np.zeros(3)],
}  # fmt: skip
#: What parameters accept besides: those of one function, or all of this name.
ACCEPTED: dict[tuple[str, str] | str, list[Any]] = {
    "hidden": [()],
    "descriptors": [()],
    "title": ["nonsense"],
    ("sizes_after", "strides"): [()],
    # The numbers of a model that diverged may be named too.
    ("bits_per_dimension", "nats"): [NAN, INF, HUGE],
    ("verdict", "rate"): [NAN, INF, HUGE],
    ("bits_per_dimension", "images"): [EMPTY, SMALLER],
    ("measure_of", "images"): [EMPTY, SMALLER],
    ("check_support", "images"): [EMPTY, SMALLER],
    ("evaluate", "images"): [X],  # Images may be a tensor.
    # These need no model, or only the classes of the images.
    ("at_embeddings", "images"): [SMALLER],
    ("empty_regions", "images"): [SMALLER],
    ("frames", "images"): [SMALLER],
    ("row", "images"): [SMALLER],
    ("attribute_scatters", "images"): [SMALLER],
    ("choose_pair", "images"): [SMALLER],
    ("captions", "images"): [SMALLER],
    ("class_names", "images"): [SMALLER],
    ("grouping", "images"): [SMALLER],
    ("originals", "images"): [SMALLER],
    ("scatter", "images"): [SMALLER],
    ("rates", "rate"): [None],
    ("TotalCorrelation", "images"): [None],
}
#: Parameters that say what they are by their default alone, or may be None.
KINDS: dict[str, type] = {"passes": int, "images": int, "least_gain": float, "learned": bool}
#: Parameters of which nothing is refused: anything may be asked about, or it is a title.
FREE = {("measure_of", "likelihood")}


def constructors() -> list[Callable[..., Any]]:
    """Every public class that is made by its users."""
    found: list[Callable[..., Any]] = [VAE]
    for module in (priors, posteriors, likelihoods, networks, annealing, schedules, objectives):
        bases = (nn.Module, annealing.Annealing, schedules.Schedule, objectives.Objective)
        found += [
            kind
            for name, kind in vars(module).items()
            if inspect.isclass(kind)
            and issubclass(kind, bases)
            and kind.__module__.startswith(module.__name__)
            and not name.startswith("_")
            and name not in ("BatchNorm", "Prior", "Posterior", "Likelihood", "Encoder", "Decoder")
        ]
    return found


def functions() -> list[Callable[..., Any]]:
    """Every public function of the evaluation, the slots, the networks and the pictures."""
    found = [getattr(evaluation, name) for name in evaluation.__all__]
    found += [slots.check_slots, slots.check_support, networks.halvings, networks.values_in]
    found += [MODEL.encode, MODEL.decode, MODEL.images, MODEL.reconstruct, MODEL.sample]
    for module in (
        classes, comparison, embeddings, interpolation, latents, manifolds, probes, projections,
        reconstructions, samples, stages, training_curves, traversals, animation,
    ):  # fmt: skip
        found += [
            each
            for name, each in vars(module).items()
            if inspect.isfunction(each) and each.__module__ == module.__name__ and name[0] != "_"
        ]
    return [each for each in found if inspect.isroutine(each) and each.__name__ not in HELPERS]


#: Functions of axes and other inner things, which no user calls with data of their own.
HELPERS = {
    "add_legend", "evenly", "factors_of", "figure_frame", "frame_beside", "grid_points",
    "label_axes", "outline_prior", "probe", "quantile_points", "scatter_groups", "save_gif",
    "active_units", "attribute_grouping", "old_names", "require_as_many",
    "has_classes", "labeled",
}  # fmt: skip


def good(called: Callable[..., Any]) -> dict[str, Any]:
    """Arguments that a call accepts: those that it needs, and its defaults."""
    name = called.__name__
    found = {}
    for each, parameter in inspect.signature(called).parameters.items():
        if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
            continue
        if (name, each) in OWN:
            found[each] = OWN[name, each]
        elif parameter.default is not parameter.empty:
            found[each] = parameter.default
        else:
            found[each] = GOOD[each]
    return found


def bad(name: str, parameter: str, value: Any) -> list[Any]:
    """Values that a parameter does not accept, given one that it does."""
    kinds = [kind for kind in BAD if isinstance(value, kind)]
    kind = KINDS.get(parameter) if value is None or parameter == "learned" else kinds[0]
    if kind is None or (name, parameter) in FREE:
        return []
    accepted = ACCEPTED.get(parameter, []) + ACCEPTED.get((name, parameter), [])
    refused = [each for each in BAD[kind] if not _in(each, accepted)]
    return [each for each in refused if each is not None or value is not None]


def _in(value: Any, values: list[Any]) -> bool:
    return any(value is each or (isinstance(each, tuple) and value == each) for each in values)


def cases() -> Iterator[tuple[Callable[..., Any], str, dict[str, Any]]]:
    """A call with one bad argument: what is called, the argument, all arguments."""
    for called in [*constructors(), *functions()]:
        arguments = good(called)
        for name, value in arguments.items():
            for wrong in bad(called.__name__, name, value):
                yield called, name, {**arguments, name: wrong}
        for name in arguments:
            misspelt = {("s" + key if key == name else key): arguments[key] for key in arguments}
            yield called, name, misspelt
        for name, parameter in inspect.signature(called).parameters.items():
            if parameter.default is parameter.empty and name in arguments:
                yield called, name, {key: arguments[key] for key in arguments if key != name}


def refusal(called: Callable[..., Any], arguments: dict[str, Any]) -> BaseException | None:
    try:
        called(**arguments)
    except Exception as error:
        return error
    return None


def answers() -> Iterator[tuple[str, str, BaseException | None, str]]:
    """Every call with what it answers: function, argument, error, and the bad value in words."""
    for called, name, arguments in cases():
        value = arguments.get(name, "(misspelt or missing)")
        shown = " ".join(repr(value)[:60].split())
        yield called.__name__, name, refusal(called, arguments), shown


def named(name: str, error: BaseException | None) -> bool:
    return isinstance(error, PyroVAEError) and name in str(error)


def test_every_bad_argument_is_named_by_an_error_of_the_library():
    found = list(answers())
    silent = [row for row in found if not named(row[1], row[2])]
    assert not silent, "\n".join(f"{row[0]}({row[1]}={row[3]}): {row[2]!r}" for row in silent)
    assert len(found) > 3500


#: What takes seconds even where all is well, and is drawn by the tests of the pictures.
SLOW = {
    "class_coverage", "frames", "from_prior", "from_standard_normal", "linear_grid",
    "log_likelihood", "nearest_neighbors", "quantile_grid", "row", "sample_classes", "uniform",
    "with_log_likelihood",
}  # fmt: skip
QUICK = [each for each in [*constructors(), *functions()] if each.__name__ not in SLOW]


@pytest.mark.parametrize("called", QUICK, ids=lambda each: each.__name__)
def test_what_is_accepted_is_accepted(called):
    called(**good(called))


# ------------------------------------------------------------------------------- the words


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda: VAE(priors=1, likelihood=2, posterior=3),  # type: ignore[call-arg]
            "VAE has no argument 'priors'. Did you mean 'prior'? "
            "Known: prior, likelihood, posterior.",
        ),
        (
            lambda: VAE(MODEL.prior, MODEL.likelihood),  # type: ignore[call-arg]
            "VAE needs the argument 'posterior'. Known: prior, likelihood, posterior.",
        ),
        (
            lambda: VAE(priors.StandardNormal, MODEL.likelihood, MODEL.posterior),
            "VAE: prior must be an instance, not a class, got the class StandardNormal.",
        ),
        (
            lambda: networks.MLPDecoder(-3, SHAPE),
            "MLPDecoder: latent_size must be a whole number, 1 or more, got -3.",
        ),
        (
            lambda: networks.MLPDecoder(10**13, SHAPE),
            "MLPDecoder: latent_size must be a whole number of at most 1,000,000, got "
            "10000000000000.",
        ),
        (
            lambda: networks.MLPEncoder((1, 8)),
            "MLPEncoder: image_shape must be three whole numbers (C, H, W), each 1 or more, got "
            "(1, 8).",
        ),
        (
            lambda: networks.MLPEncoder((3, 10**6, 10**6)),
            "MLPEncoder: image_shape must be (C, H, W) of at most 1,000,000,000 values, got "
            "(3, 1000000, 1000000).",
        ),
        (
            lambda: priors.Bernoulli(2, probability=1.5),
            "Bernoulli: probability must be a number above 0 and below 1, got 1.5.",
        ),
        (
            lambda: likelihoods.Normal(DECODER, INF),
            "Normal: scale must be a number above 0.0001, got inf.",
        ),
        (
            lambda: likelihoods.Normal(DECODER, 1e7),
            "Normal: scale must be a number of at most 3,269,017, got 10000000.0.",
        ),
        (
            lambda: networks.ConvEncoder(SHAPE, (8, 0)),
            "ConvEncoder: channels must be a sequence of one or more, each a whole number, 1 or "
            "more, got (8, 0).",
        ),
        (
            lambda: networks.ConvEncoder(SHAPE, (8,), (2,)),
            "ConvEncoder takes 2 arguments by position, got 3. "
            "Known: image_shape, channels, initialization.",
        ),
        (
            lambda: networks.ConvEncoder(SHAPE, image_shape=SHAPE),
            "ConvEncoder: image_shape is given twice, by position and by name.",
        ),
        (lambda: priors.Bernoulli(2, learned=1), "learned must be true or false, got 1."),
        (lambda: annealing.Constant(1), "Constant takes 0 arguments by position, got 1."),  # type: ignore[call-arg]
        (lambda: evaluate(MODEL, FEW, samples=-1), "samples must be a whole number, 0 or more"),
        (
            lambda: evaluate(MODEL, SMALLER),
            "evaluate: images must have the model's shape (1, 8, 8) (C, H, W), got (1, 7, 8).",
        ),
        (
            lambda: MODEL.images(torch.zeros(5, D + 1)),
            f"VAE.decode: z must be a tensor of shape (..., {D}), torch.float32 on cpu, got a "
            f"tensor of shape (5, {D + 1}), torch.float32 on cpu.",
        ),
        (
            lambda: MODEL.encode(torch.zeros(5, 1, 12, 12)),
            "VAE.encode: x must be a tensor of shape (..., 1, 8, 8), torch.float32 on cpu",
        ),
        (
            lambda: MODEL.images(torch.full((5, D), NAN)),
            f"VAE.images: z must be a tensor (..., D) of finite floats, got a tensor of shape "
            f"(5, {D}), torch.float32, with values that are not finite.",
        ),
        (
            lambda: networks.FullyConnectedEncoder(SHAPE, [{"out_features": -5}]),
            "descriptors: out_features of descriptor 1 must be a whole number, 1 or more, got -5.",
        ),
        (
            lambda: embeddings.prior_log_density(
                small_vae(prior=priors.HypersphereUniform(2)), torch.ones(3, 2)
            ),
            "prior_log_density: z must be latent vectors (N, D) in the support of the prior",
        ),
        (
            lambda: latents.scatter(Z[:5], FEW),
            "codes must be those of the images, one for each of 12, got 5.",
        ),
        (
            lambda: interpolation.row(MODEL, FEW),
            "pair must be two images, got 12.",
        ),
    ],
)
def test_an_error_says_what_is_accepted_and_what_was_given(call, message):
    with pytest.raises(PyroVAEError) as refused:
        call()
    assert message in str(refused.value)


def test_an_error_is_of_the_kind_that_fits_it():
    with pytest.raises(TypeError):
        networks.MLPDecoder("2", SHAPE)
    with pytest.raises(TypeError):
        networks.MLPDecoder(2, SHAPE, wide=True)  # type: ignore[call-arg]
    with pytest.raises(ValueError):
        networks.MLPDecoder(0, SHAPE)


def test_an_error_stays_short_whatever_was_given():
    for value in ("a" * 10**6, list(range(10**5)), 10**5000, torch.zeros(1000, 1000)):
        with pytest.raises(PyroVAEError) as refused:
            priors.StandardNormal(value)
        assert len(str(refused.value)) < 250


# ------------------------------------------------------------------------------- what is accepted


def test_numbers_of_numpy_and_of_torch_are_numbers():
    assert networks.MLPDecoder(np.int32(2), SHAPE)(torch.zeros(1, 2)).shape == (1, *SHAPE)
    for scale in (np.float32(0.5), np.float64(0.5), torch.tensor(0.5), 1):
        assert likelihoods.Normal(DECODER, scale).scale.item() == pytest.approx(float(scale))
    assert priors.Normal(2, scale=torch.tensor([0.5, 1.0]))().stddev.tolist() == [0.5, 1.0]
    assert priors.Normal(2, loc=np.array([1.0, 2.0]))().mean.tolist() == [1.0, 2.0]
    assert networks.ConvEncoder(torch.Size(SHAPE), [4, 8]).features == 32


class Mine(networks.Encoder):
    def __init__(
        self,
        image_shape,
        width: int,
        share: Annotated[float, "mine"] = 0.5,
        kind: Literal["a", "b"] = "a",
        limit: float = math.inf,
        missing: int = None,  # noqa: RUF013
        other: "Unknown | int" = "anything",  # type: ignore[name-defined]  # noqa: F821
        **more: Any,
    ):
        super().__init__()
        self.layers, self.features = nn.Flatten(), 64


class Plain(networks.Encoder):
    def __init__(
        self, width: int = 3, limit: float = math.inf, gap: int = None, net: nn.Module = 1
    ):
        super().__init__()


def test_classes_of_ones_own_are_checked_where_they_say_plain_things():
    Plain(), Plain(4, -math.inf, None, "anything")
    with pytest.raises(PyroVAEError, match="Plain: width must be a whole number, got 'a'"):
        Plain("a")
    with pytest.raises(PyroVAEError, match="Plain has no argument 'widht'. Did you mean 'width'"):
        Plain(widht=3)  # type: ignore[call-arg]
    Mine(SHAPE, 1, more="more", kind="what its annotations cannot be resolved for")
    with pytest.raises(PyroVAEError, match="Mine needs the argument 'width'"):
        Mine(SHAPE)  # type: ignore[call-arg]


def test_a_copy_needs_no_arguments():
    for original in (MODEL, ENCODER, objectives.IWAE(5), schedules.Plateau(0.5)):
        for copied in (copy.deepcopy(original), copy.copy(original)):
            assert type(copied) is type(original) and vars(copied).keys() == vars(original).keys()
    again = pickle.loads(pickle.dumps(ENCODER))
    assert torch.equal(again(X), ENCODER(X)) and again._arguments == ENCODER._arguments


NUMBERS = st.one_of(st.integers(), st.floats(), st.booleans(), st.text(max_size=5), st.none())


@settings(max_examples=150, deadline=None)
@given(probability=NUMBERS, latent_size=st.one_of(st.integers(-3, 5), NUMBERS))
def test_a_prior_is_made_or_refused_in_words(probability, latent_size):
    try:
        prior = priors.Bernoulli(latent_size, probability)
    except PyroVAEError as error:
        assert "probability" in str(error) or "latent_size" in str(error)
    else:
        assert prior().mean.allclose(torch.tensor(float(probability)), atol=1e-6)


@settings(max_examples=150, deadline=None)
@given(
    scale=NUMBERS,
    standardized=st.one_of(NUMBERS, st.lists(st.one_of(st.floats(), st.integers()), max_size=3)),
)
def test_a_likelihood_is_made_or_refused_in_words(scale, standardized):
    try:
        made = likelihoods.Normal(DECODER, scale, sigmoid=False, standardized=standardized)
    except PyroVAEError as error:
        assert "scale" in str(error) or "standardized" in str(error)
    else:
        assert made(torch.zeros(1, D)).stddev.isfinite().all()


@settings(max_examples=100, deadline=None)
@given(
    shape=st.one_of(NUMBERS, st.lists(st.integers(-2, 40), max_size=4), st.tuples(*[NUMBERS] * 3))
)
def test_a_network_is_made_or_refused_in_words(shape):
    try:
        encoder = networks.MLPEncoder(shape, (3,))
    except PyroVAEError as error:
        assert "image_shape" in str(error)
    else:
        assert encoder(torch.zeros(1, *shape)).shape == (1, 3)


@settings(max_examples=60, deadline=None)
@given(name=st.sampled_from(["epochs", "batch_size", "beta", "clip", "average", "new_draws"]),
       value=st.one_of(NUMBERS, st.lists(st.integers(), max_size=2)))  # fmt: skip
def test_a_training_starts_or_refuses_its_settings_in_words(name, value):
    from pyro_vae.training import TrainingSettings

    try:
        TrainingSettings.of(**{name: value})
    except PyroVAEError as error:
        assert name in str(error)


# ------------------------------------------------------------------------------- the slots


class InTraining(nn.Module):
    """A posterior that is of another size in training mode."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.BatchNorm2d(1), nn.Flatten(), nn.Linear(64, 2), nn.Dropout(0.5))

    def forward(self, x):
        loc = self.net(x)
        return dist.Normal(loc.repeat(1, 2) if self.training else loc, 1.0).to_event(1)


def test_a_slot_is_checked_in_training_mode_too():
    with pytest.raises(SlotError, match=r"In training mode: The posterior does not fit.*\(4,\)"):
        check_slots(small_vae(posterior=InTraining()), X)


def test_checking_leaves_statistics_random_state_and_mode_as_they_were():
    vae = VAE(
        priors.VampPrior(2, components=3),
        likelihoods.Bernoulli(
            networks.BatchNormDecoder(2, SHAPE, (4, 4), (2, 1)), gray_levels=True
        ),
        posteriors.DiagonalNormal(networks.BatchNormEncoder(SHAPE, (4, 4), (1, 2)), 2),
    )
    for vae_training in (True, False):
        vae.train(vae_training)
        before, state = copy.deepcopy(vae.state_dict()), torch.get_rng_state()
        check_slots(vae, X)
        assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())
        assert torch.equal(state, torch.get_rng_state()) and vae.training is vae_training


def test_a_parameter_that_two_slots_share_is_forgotten_with_the_model():
    import gc

    import pyro

    class Shared(nn.Module):
        def __init__(self, loc):
            super().__init__()
            self.loc = loc

        def forward(self):
            return dist.Normal(self.loc, 1.0).to_event(1)

    posterior = posteriors.DiagonalNormal(networks.MLPEncoder(SHAPE, (4,)), 2)
    posterior.shared = nn.Parameter(torch.zeros(2))
    vae = small_vae(prior=Shared(posterior.shared), posterior=posterior)
    vae.model(X.round()), vae.guide(X)
    assert len(pyro.get_param_store())
    del vae, posterior
    gc.collect()
    store = pyro.get_param_store()
    assert not len(store) and not store._constraints


# ------------------------------------------------------------------------------- distributions


@pytest.mark.parametrize(
    ("make", "name"),
    [
        (lambda d: d.ContinuousBernoulli(0.5), "logits"),
        (lambda d: d.DiscretizedLogistic(0.5, torch.tensor(1.0)), "loc"),
        (lambda d: d.DiscretizedLogistic(torch.zeros(2), torch.ones(3)), "scale"),
        (lambda d: d.PowerSpherical(torch.eye(3), 1.0), "concentration"),
        (lambda d: d.PowerSpherical(torch.eye(3), torch.ones(4)), "concentration"),
        (lambda d: d.PowerSpherical(torch.ones(3, 1), torch.ones(3)), "loc"),
        (lambda d: d.HypersphereUniform(3), "like"),
        (lambda d: d.HypersphereUniform(torch.zeros(1)), "like"),
        (lambda d: d.Mixture(torch.zeros(0), dist.Normal(torch.zeros(0), 1.0)), "logits"),
        (lambda d: d.Mixture(torch.zeros(3), dist.Normal(torch.zeros(2), 1.0)), "components"),
        (lambda d: d.Mixture(torch.zeros(3), None), "components"),
        (lambda d: d.Planar(torch.zeros(1, 2), torch.zeros(1, 3), torch.zeros(1)), "w"),
        (lambda d: d.Flow(None, dist.Normal(0.0, 1.0)), "transform"),
    ],
)
def test_distributions_name_what_they_do_not_accept(make, name):
    from pyro_vae import distributions

    with pytest.raises(PyroVAEError, match=rf"\b{name}\b"):
        make(distributions)


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ({"loc": torch.tensor(0.5), "scale": torch.tensor(0.0)}, "scale"),
        ({"loc": torch.tensor(NAN), "scale": torch.tensor(1.0)}, "loc"),
        ({"loc": torch.tensor(0.5), "scale": torch.tensor(-1.0)}, "scale"),
    ],
)
def test_values_of_parameters_are_validated_by_torch_and_named(parameters, name):
    from pyro_vae.distributions import DiscretizedLogistic

    with pytest.raises(ValueError, match=f"parameter {name}"):
        DiscretizedLogistic(**parameters)
