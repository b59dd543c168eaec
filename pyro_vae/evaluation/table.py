"""The numbers of an evaluation as text: one declaration of their names, units and meanings."""

from collections.abc import Mapping
from html import escape
from typing import Any, NamedTuple

from tabulate import tabulate

from pyro_vae.evaluation.importance import PARETO_THRESHOLD

NATS, BITS = "nats per image", "bits per dimension"


class Metric(NamedTuple):
    """A number of the evaluation.

    Attributes:
        key: its key in `Evaluation.as_dict()`.
        name: its name for readers.
        unit: its unit.
        meaning: what it says, in a sentence or two.
    """

    key: str
    name: str
    unit: str
    meaning: str


ROWS = (
    Metric(
        "elbo",
        "ELBO",
        NATS,
        "The evidence lower bound, a lower bound on log p(x): minus the distortion minus the "
        "rate. Higher is better.",
    ),
    Metric(
        "standard_error",
        "its standard error",
        NATS,
        "How much the number above would vary with another sample of test images.",
    ),
    Metric(
        "distortion",
        "distortion, -E log p(x|z)",
        NATS,
        "The reconstruction error: lower means closer reconstructions.",
    ),
    Metric(
        "rate",
        "rate, KL(q(z|x) || p(z))",
        NATS,
        "How much information a latent vector carries about its image. Near 0, it carries none.",
    ),
    Metric(
        "published_loss",
        "loss on the source's scale",
        "as in the source",
        "Distortion and rate, weighted as the source of this system weights them.",
    ),
    Metric(
        "bits_per_dimension",
        "the ELBO's bits per dimension",
        BITS,
        "The negative ELBO in bits, divided by the number of values in an image: the size of a "
        "losslessly compressed image.",
    ),
    Metric(
        "log_likelihood",
        "log p(x), importance sampling",
        NATS,
        "The log-likelihood by importance sampling, a tighter lower bound than the ELBO. Higher is "
        "better. Papers often print its negative.",
    ),
    Metric(
        "log_likelihood_bits",
        "its bits per dimension",
        BITS,
        "Minus the same estimate, in bits, divided by the number of values in an image.",
    ),
    Metric(
        "log_likelihood_error",
        "its standard error, images",
        NATS,
        "How much that estimate would vary with another sample of test images.",
    ),
    Metric(
        "sampling_error",
        "one image's sampling error",
        NATS,
        "How much the estimate for one image would vary with other importance samples.",
    ),
)
NOT_PROPER = (
    "The likelihood is not a normalized density of gray levels: compare these numbers only with "
    "models that use the same likelihood."
)

#: What a likelihood assigns to images, in words.
MEASURES = {
    "mass": "probability mass",
    "density": "density",
    "none": "not normalized",
    None: "unknown",
}
NOT_COMPARABLE = (
    "The nats of a density, of a probability mass, and of what is not normalized are on different "
    "scales: compare them only within one measure, or in bits/dim where both have them."
)


def as_text(numbers: Mapping[str, Any]) -> str:
    """Return the numbers of `Evaluation.as_dict()` as text, a line each.

    Args:
        numbers: may also hold "published_loss", the loss on the scale of a system's source.
    """
    lines = [*_table(numbers, "plain").splitlines(), *_remarks(numbers)]
    return "\n".join([_images(numbers), *(f"  {line}" for line in lines)])


def as_html(numbers: Mapping[str, Any]) -> str:
    """Return the same as HTML, for notebooks."""
    remarks = "".join(f"<p>{escape(line)}</p>" for line in _remarks(numbers))
    return f"<p>{_images(numbers)}</p>{_table(numbers, 'html')}{remarks}"


def _images(numbers: Mapping[str, Any]) -> str:
    count = numbers["images"]
    return f"{count} test image{'s' * (count != 1)}"


def _table(numbers: Mapping[str, Any], form: str) -> str:
    rows = [
        (row.name, f"{numbers[row.key]:.2f}", row.unit)
        for row in ROWS
        if numbers.get(row.key) is not None
    ]
    return tabulate(rows, tablefmt=form, colalign=("left", "right", "left"), disable_numparse=True)


def _remarks(numbers: Mapping[str, Any]) -> list[str]:
    lines = []
    if numbers["samples"]:
        lines.append(f"({numbers['samples']} samples an image; {_trust(numbers['untrusted'])})")
    if numbers.get("measure") == "none":
        lines.append(NOT_PROPER)
    return [*lines, numbers["verdict"]]


def _trust(untrusted: float | None) -> str:
    if untrusted is None:
        return "too few to tell how reliable the estimates are"
    return f"unreliable, with a Pareto k above {PARETO_THRESHOLD}: {untrusted:.1%} of the images"
