"""Probes: how well simple classifiers predict classes and attributes from the codes.

A high accuracy means that the codes represent what the images show, although the model was trained
without labels.
"""

import warnings
from dataclasses import dataclass

import numpy as np
import torch

from pyro_vae._arguments import Codes, Count, checked
from pyro_vae.analysis.classes import grouping, has_classes, require_as_many
from pyro_vae.analysis.lettering import shortened
from pyro_vae.analysis.style import MODEL, OTHER, PALETTE, Figure, number, panels, styled
from pyro_vae.data import ImageData
from pyro_vae.errors import ArgumentError
from pyro_vae.evaluation.fitting import SomeImages


@dataclass(frozen=True)
class Probe:
    """Accuracies on test codes, each in [0, 1].

    Attributes:
        neighbors: accuracy of the most frequent value among the k nearest training codes.
        linear: accuracy of logistic regression on standardized codes.
        majority: accuracy of always predicting the most frequent value, as a baseline.
    """

    neighbors: float
    linear: float
    majority: float


@checked
def probe(
    train_codes: Codes,
    train_values: np.ndarray,
    test_codes: Codes,
    test_values: np.ndarray,
    *,
    k: Count = 10,
) -> Probe:
    """Return how well classifiers predict values from codes.

    Args:
        train_codes: codes to train on, (N, D).
        train_values: their values, int, (N,).
        test_codes: codes to test on, (M, D).
        test_values: their values, int, (M,).
        k: number of nearest neighbors.
    """
    from sklearn.linear_model import LogisticRegression  # slow to import
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    train, test = train_codes.numpy(), test_codes.numpy()
    majority = np.bincount(train_values).argmax()
    if len(np.unique(train_values)) == 1:
        share = float((test_values == majority).mean())
        return Probe(share, share, share)
    neighbors = KNeighborsClassifier(min(k, len(train))).fit(train, train_values)
    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a fit that has nearly converged is good enough here
        linear.fit(train, train_values)
    return Probe(
        neighbors.score(test, test_values),
        linear.score(test, test_values),
        float((test_values == majority).mean()),
    )


@checked
def probes(
    train_codes: Codes, train: SomeImages, test_codes: Codes, test: SomeImages, *, k: Count = 10
) -> dict[str, Probe]:
    """Return the `Probe` of the class, if there are labels, and of each attribute, by name.

    Images whose class is unknown (a label of −1) are left out of that of the class.
    """
    require_as_many(train_codes, train, "train_codes")
    require_as_many(test_codes, test, "test_codes")
    if test.labels is None and train.labels is not None:
        raise ArgumentError("test: the images have no labels, which those of train have.")
    classes = has_classes(train) and has_classes(test)
    names = ["class"] * classes + list(train.attributes or {})
    found = {}
    for name in names:
        known, asked = (_known(part, name) for part in (train, test))
        values = _paired(train.select(known), test.select(asked), name)
        found[name] = probe(train_codes[known], values[0], test_codes[asked], values[1], k=k)
    return found


def _known(images: ImageData, by: str) -> torch.Tensor:
    """Return which images have a known value, (N,) booleans: all but a class of −1."""
    if by == "class" and images.labels is not None:
        return images.labels >= 0
    return torch.ones(len(images), dtype=torch.bool, device="cpu")


def _paired(train: ImageData, test: ImageData, by: str) -> tuple[np.ndarray, np.ndarray]:
    """The values of both parts, with the same numbering in each."""
    parts = [grouping(part, by) for part in (train, test)]
    names = np.concatenate([np.array(part.names)[part.values] for part in parts if part])
    numbers = np.unique(names, return_inverse=True)[1]
    return numbers[: len(train)], numbers[len(train) :]


@checked
@styled
def predictions(
    train_codes: Codes, train: SomeImages, test_codes: Codes, test: SomeImages, *, k: Count = 10
) -> Figure:
    """Draw the accuracies of the probes of the class and of each attribute.

    Args:
        train_codes: codes to train on, (N, D).
        train: their N images.
        test_codes: codes to test on, (M, D).
        test: their M images.
        k: number of nearest neighbors.

    Raises:
        ArgumentError: the images have neither labels nor attributes.
    """
    found = probes(train_codes, train, test_codes, test, k=k)
    if not found:
        raise ArgumentError(
            "train: there is nothing to predict: the images have neither labels nor attributes."
        )
    title = f"Predictions from the codes, on {number(len(test))} test images"
    fig, axes = panels(height=1.3 + 0.5 * len(found), title=title)
    ax, rows = axes[0, 0], np.arange(len(found))
    kinds = {f"{k} nearest neighbors": MODEL, "linear classifier": OTHER, "majority": PALETTE[3]}
    for i, (name, color) in enumerate(kinds.items()):
        values = [100 * (p.neighbors, p.linear, p.majority)[i] for p in found.values()]
        bars = ax.barh(rows + 0.27 * (i - 1), values, 0.25, color=color, label=name)
        ax.bar_label(bars, fmt="%.1f", fontsize=8, padding=2)
    ax.set_yticks(rows, [shortened(name) for name in found], parse_math=False)
    ax.invert_yaxis()
    ax.set(xlim=(0, 105), xlabel="accuracy (%)")
    fig.legend(loc="outside lower center", ncols=3)
    return fig
