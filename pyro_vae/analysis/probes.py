"""What can be read off the codes: classes and attributes, by neighbours and by a linear classifier.

A high accuracy says that the codes keep what the images show, though no label was ever trained on.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from pyro_vae.analysis.classes import grouping
from pyro_vae.analysis.style import MODEL, OTHER, PALETTE, Figure, number, panels, styled
from pyro_vae.data import ImageData


@dataclass(frozen=True)
class Probe:
    """Accuracies on codes that were not learned from, each in [0, 1].

    Attributes:
        neighbours: the most frequent value among the k nearest codes.
        linear: logistic regression on standardised codes.
        majority: always the most frequent value: what costs nothing.
    """

    neighbours: float
    linear: float
    majority: float


def probe(
    train_codes: Tensor,
    train_values: np.ndarray,
    test_codes: Tensor,
    test_values: np.ndarray,
    *,
    k: int = 10,
) -> Probe:
    """How well values (N,) are predicted from codes (N, D)."""
    from sklearn.linear_model import LogisticRegression  # slow to import
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = train_codes.numpy(), test_codes.numpy()
    majority = np.bincount(train_values).argmax()
    if len(np.unique(train_values)) == 1:
        share = float((test_values == majority).mean())
        return Probe(share, share, share)
    neighbours = KNeighborsClassifier(min(k, len(train))).fit(train, train_values)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # not quite converged is near enough for a picture
        linear.fit(train, train_values)
    return Probe(
        neighbours.score(test, test_values),
        linear.score(test, test_values),
        float((test_values == majority).mean()),
    )


def probes(
    train_codes: Tensor, train: ImageData, test_codes: Tensor, test: ImageData, *, k: int = 10
) -> dict[str, Probe]:
    """A `Probe` of the class, where there is one, and of each attribute, by name."""
    names = ["class"] * (train.labels is not None) + list(train.attributes or {})
    values = {name: _paired(train, test, name) for name in names}
    return {
        name: probe(train_codes, known, test_codes, asked, k=k)
        for name, (known, asked) in values.items()
    }


def _paired(train: ImageData, test: ImageData, by: str) -> tuple[np.ndarray, np.ndarray]:
    """Values of both parts, numbered alike whichever occur in each."""
    parts = [grouping(part, by) for part in (train, test)]
    names = np.concatenate([np.array(part.names)[part.values] for part in parts])
    numbers = np.unique(names, return_inverse=True)[1]
    return numbers[: len(train)], numbers[len(train) :]


@styled
def predictions(
    train_codes: Tensor, train: ImageData, test_codes: Tensor, test: ImageData, *, k: int = 10
) -> Figure:
    """The accuracy with which class and attributes are read off the codes, beside the majority's.

    Args:
        train_codes: (N, D), of the images that are learned from.
        train: those N images.
        test_codes: (M, D).
        test: those M images.
        k: nearest neighbours.

    Raises:
        ValueError: the images have neither labels nor attributes.
    """
    found = probes(train_codes, train, test_codes, test, k=k)
    if not found:
        raise ValueError("nothing to predict: the images have neither labels nor attributes")
    title = f"What can be read off the codes, on {number(len(test))} test images"
    fig, axes = panels(height=1.3 + 0.5 * len(found), title=title)
    ax, rows = axes[0, 0], np.arange(len(found))
    kinds = {f"{k} nearest neighbours": MODEL, "linear classifier": OTHER, "majority": PALETTE[3]}
    for i, (name, colour) in enumerate(kinds.items()):
        values = [100 * (p.neighbours, p.linear, p.majority)[i] for p in found.values()]
        bars = ax.barh(rows + 0.27 * (i - 1), values, 0.25, color=colour, label=name)
        ax.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    ax.set_yticks(rows, found)
    ax.invert_yaxis()
    ax.set(xlim=(0, 105), xlabel="accuracy (%)")
    fig.legend(loc="outside lower center", ncols=3)
    return fig
