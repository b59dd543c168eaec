"""An evaluation's numbers as lines of text, with their units."""

from collections.abc import Mapping
from typing import Any

ROWS = (
    ("elbo", "ELBO", "nats per image"),
    ("standard_error", "its standard error", "nats per image"),
    ("distortion", "distortion, -E log p(x|z)", "nats per image"),
    ("rate", "rate, KL(q(z|x) || p(z))", "nats per image"),
    ("published_loss", "loss on the source's scale", "as the source counts"),
    ("bits_per_dimension", "the ELBO's bits per dimension", "bits per value of an image"),
    ("negative_log_likelihood", "-log p(x), weighted samples", "nats per image"),
    ("log_likelihood_bits", "its bits per dimension", "bits per value of an image"),
    ("log_likelihood_error", "its standard error, images", "nats per image"),
    ("sampling_error", "one image's sampling error", "nats per image"),
)
NOT_PROPER = (
    "The likelihood is no normalised density of grey levels: these numbers compare with those of "
    "the same likelihood alone."
)


def table(numbers: Mapping[str, Any]) -> str:
    """`Evaluation.as_dict()`, with the loss on the source's scale if there is one, as text."""
    lines = [f"{numbers['images']} test images"]
    for key, name, unit in ROWS:
        value = numbers.get(key)
        if value is not None:
            lines.append(f"  {name:<28}{value:>10.2f}  {unit}")
    if numbers["samples"]:
        doubt = "too few to say how far to trust them"
        if numbers["untrusted"] is not None:
            doubt = (
                f"Pareto k above 0.7, not to be trusted: {numbers['untrusted']:.1%} of the images"
            )
        lines.append(f"  ({numbers['samples']} samples an image; {doubt})")
    if numbers.get("measure") == "none":
        lines.append(f"  {NOT_PROPER}")
    return "\n".join([*lines, f"  {numbers['verdict']}"])
