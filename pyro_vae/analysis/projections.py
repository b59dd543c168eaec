"""Projections of codes onto a plane."""

import contextlib
import io
import re
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch

from pyro_vae._arguments import Codes, Count, Seed, checked
from pyro_vae._progress import hidden, tqdm
from pyro_vae.analysis.style import latent_name

Method = Literal["auto", "pca", "tsne"]
TSNE_STEPS = 1000


@dataclass(frozen=True)
class Projection:
    """A projection of n codes onto a plane.

    Attributes:
        points: the points, (n, 2).
        indices: the indices of the codes, (n,).
        names: the names of the two axes.
    """

    points: np.ndarray
    indices: np.ndarray
    names: tuple[str, str]


@checked
def project(
    codes: Codes,
    method: Method = "auto",
    *,
    points: Count = 5000,
    seed: Seed = 0,
    progress: bool = True,
) -> Projection:
    """Project codes (N, D) onto a plane.

    Two dimensions stay as they are; a single one gets a random height; more are projected onto
    their first two principal components, or by t-SNE: Visualizing Data using t-SNE (van der Maaten
    and Hinton, 2008).

    Args:
        codes: the codes, (N, D).
        method: "pca" or "tsne"; "auto" is "pca" if D > 2.
        points: the most codes to project, chosen at random.
        seed: seed of that choice, of the random heights, and of t-SNE.
        progress: show a progress bar while t-SNE runs.
    """
    random = np.random.default_rng(seed)
    indices = np.sort(random.permutation(len(codes))[:points])
    chosen = codes[torch.from_numpy(indices)].double().numpy()
    size = codes.shape[1]
    if method == "tsne":
        return Projection(_tsne(chosen, seed, progress), indices, ("t-SNE 1", "t-SNE 2"))
    if size == 1:
        heights = random.uniform(size=(len(chosen), 1))
        plane = np.concatenate([chosen, heights], 1)
        return Projection(plane, indices, (latent_name(0), "random height"))
    if size == 2 and method == "auto":
        return Projection(chosen, indices, (latent_name(0), latent_name(1)))
    return Projection(*_pca(chosen, indices))


def _still(codes: np.ndarray) -> bool:
    """Whether all codes coincide, so that there is nothing to project."""
    return len(codes) < 2 or not codes.astype(np.float32).std(0).any()


def _pca(codes: np.ndarray, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray, tuple[str, str]]:
    from sklearn.decomposition import PCA  # slow to import

    if _still(codes):
        names = ("principal component 1", "principal component 2")
        return np.zeros((len(codes), 2)), indices, names
    pca = PCA(2, svd_solver="full").fit(codes)
    first, second = pca.explained_variance_ratio_
    names = (
        f"principal component 1 ({first:.0%} of the variance)",
        f"principal component 2 ({second:.0%})",
    )
    return pca.transform(codes), indices, names


def _tsne(codes: np.ndarray, seed: int, progress: bool) -> np.ndarray:
    from sklearn.manifold import TSNE  # slow to import

    if _still(codes):
        return np.zeros((len(codes), 2))
    perplexity = min(30.0, (len(codes) - 1) / 3)
    start = "pca" if codes.shape[1] > 1 else "random"
    tsne = TSNE(
        2, perplexity=perplexity, max_iter=TSNE_STEPS, init=start, random_state=seed, verbose=2
    )
    bar = tqdm(total=TSNE_STEPS, desc="t-SNE", unit="step", disable=hidden(progress))
    with bar, contextlib.redirect_stdout(_Watcher(bar)):
        plane = tsne.fit_transform(codes.astype(np.float32))
        bar.update(TSNE_STEPS - bar.n)
        return plane


class _Watcher(io.TextIOBase):
    """A stream that turns what scikit-learn prints into steps of a progress bar."""

    def __init__(self, bar: "tqdm[Any]") -> None:
        self.bar = bar

    def write(self, text: str) -> int:
        if step := re.search(r"Iteration (\d+)", text):
            self.bar.update(int(step[1]) - self.bar.n)
        return len(text)
