"""Words by which the search finds a page though the page itself does not use them.

The search of Sphinx finds the words of a page, its index entries, and the words of its `keywords`.
A transform adds to each page the entries of `PHRASES`, their words, and the other spelling of every
word that has two; after the build, `check` looks all of them up in the index.
"""

import json
import re
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.util import logging

#: What people type, by the page that answers.
PHRASES = {
    "index": (
        "install, installation, quickstart, getting started, CPU build, requirements, "
        "variational autoencoder in PyTorch, Pyro VAE"
    ),
    "learn/01_first_model": "quickstart, getting started, beginner, train a VAE, generate, report",
    "learn/02_autoencoder": (
        "autoencoder, bottleneck, latent space, encoder, decoder, generate, holes"
    ),
    "learn/03_from_points_to_distributions": (
        "VAE loss, loss function, reparameterization trick, log-variance, VAE from scratch, "
        "PyTorch VAE, KL loss, latent space"
    ),
    "learn/04_the_same_in_pyro": (
        "Pyro tutorial, variational inference, inference, SVI, guide, plate, to_event, batch shape"
    ),
    "learn/05_the_bound": (
        "ELBO derivation, evidence lower bound, KL divergence, rate-distortion, Jensen, marginal "
        "likelihood"
    ),
    "learn/05b_gradients": "reparameterization gradient, REINFORCE, score function, discrete",
    "learn/05c_sampled_rate": "Monte Carlo KL, analytic KL, closed-form KL",
    "learn/06_which_likelihood": (
        "loss, loss function, reconstruction loss, MSE, BCE, binary cross-entropy, KL weight, "
        "sum or mean, sigma-VAE, decoder variance, bits per dim, negative loss"
    ),
    "learn/07_collapse": (
        "posterior collapse, KL vanishing, KL annealing, KL warm-up, blurry, dead units, free bits"
    ),
    "learn/08_swap": (
        "VampPrior, mixture prior, normalizing flow, custom prior, IWAE, hyperspherical VAE"
    ),
    "learn/09_is_it_good": (
        "overfitting, early stopping, validation, evaluate, log-likelihood, importance sampling, "
        "sample quality, hole problem, aggregated posterior, model comparison"
    ),
    "learn/10_your_own": (
        "custom likelihood, custom prior, custom posterior, custom encoder, custom decoder, custom "
        "dataset, training loop, TensorBoard, AdamW, gradient clipping, mixed precision, callback"
    ),
    "learn/11_slips": "errata, mistakes, bugs, articles, blog posts",
    "learn/12_from_pyro": (
        "conditional VAE, CVAE, semi-supervised, class-conditional, conditional, labels, Zuko"
    ),
    "explore": "latent space, latent explorer, demo, interactive",
    "pictures": "visualize, plot, latent space, t-SNE, embedding, interpolation, figures",
    "slots": "priors, likelihoods, posteriors, list of distributions, VampPrior, Student-t",
    "objectives": (
        "beta-VAE, beta-TCVAE, disentanglement, KL annealing, cyclical annealing, free bits, IWAE, "
        "loss"
    ),
    "recipes": "published models, architecture, ResNet, CNN, MNIST, CIFAR-10",
    "runs": (
        "resume, checkpoint, crash, interrupted training, NaN, save and load, pickle, untrusted, "
        "security"
    ),
    "outputs": (
        "anomaly detection, anomaly, outlier, outlier detection, novelty detection, feature "
        "extraction, embeddings, generate images, ONNX, deployment, inference, export"
    ),
    "results": "benchmark, reproducibility, published numbers, timing",
    "likelihoods": "benchmark, state of the art, log-likelihood, NLL, bits per dim",
    "troubleshooting": (
        "error, NaN, GPU, multi-GPU, CUDA, out of memory, OOM, slow, blurry, KL weight, negative "
        "loss, collapse, does not learn, to_event, own part not found"
    ),
    "command_line": (
        "options, arguments, fine-tune, fine-tuning, transfer learning, pretrained, CLI, GPU, "
        "hyperparameters, early stopping"
    ),
    "reference": "API, save, load, functions, classes, early stopping, learning-rate schedule",
    "glossary": "terminology, definitions, terms, latent code, aggregated posterior",
    "notation": "symbols, formulas, mathematics",
}
#: The other spelling of a word, by the beginning of the one that the pages use.
SPELLINGS = {
    r"gray": "grey",
    r"color": "colour",
    r"behavior": "behaviour",
    r"neighbor": "neighbour",
    r"center": "centre",
    r"labeled": "labelled",
    r"modeling": "modelling",
    r"analyz": "analys",
    r"artifact": "artefact",
    r"reparameteriz": "reparametriz",
}
#: Words that end in -ize and so on, but not size and prize.
IZE = re.compile(r"\b(\w{3,})iz(e|es|ed|er|ers|ing|ation|ations)\b")
#: Spellings that the check looks up: words that share their stem with no other word.
PAIRS = [("gray", "grey"), ("color", "colour"), ("reparameterized", "reparameterised")]

logger = logging.getLogger(__name__)


def phrases_of(page: str) -> list[str]:
    """Return what people may type to find a page."""
    return [each.strip() for each in PHRASES.get(page, "").split(",") if each.strip()]


def other_spellings(text: str) -> set[str]:
    """Return the other spelling of every word that has two.

    >>> sorted(other_spellings("Gray images, normalized and reparameterized"))
    ['grey', 'normalised', 'reparameterised', 'reparametrized']
    """
    words = set(re.findall(r"[a-z]+", text.lower()))
    found = {IZE.sub(r"\1is\2", word) for word in words}
    for usual, other in SPELLINGS.items():
        found |= {re.sub(rf"^{usual}", other, word) for word in words}
    return found - words


class AddWords(SphinxTransform):
    """Add to a page the entries and the keywords by which it is found."""

    default_priority = 840  # Sphinx collects index entries at 850.

    def apply(self, **kwargs: Any) -> None:
        """Add them."""
        page = self.env.current_document.docname
        phrases = phrases_of(page)
        words = other_spellings(self.document.astext())
        words |= {word for phrase in phrases for word in re.findall(r"\w+", phrase)}
        if words:
            content = ", ".join(sorted(words))
            self.document.insert(0, nodes.meta("", name="keywords", content=content))
        section = self.document.next_node(nodes.section)
        if phrases and section is not None:
            entries = [("single", each, section["ids"][0], "main", None) for each in phrases]
            section.insert(1, addnodes.index(entries=entries))


def check(app: Sphinx, failure: Exception | None) -> None:
    """Warn of a phrase or a spelling that the index of a build does not know."""
    if failure is not None or app.builder.name != "html":
        return
    text = (app.outdir / "searchindex.js").read_text()
    index = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    stem, stopwords = app.builder.indexer.lang.stem, app.builder.indexer.lang.stopwords

    def pages_with(word: str) -> set[str]:
        places = [index[kind].get(stem(word.lower()), []) for kind in ("terms", "titleterms")]
        return {
            index["docnames"][place]
            for each in places
            for place in (each if isinstance(each, list) else [each])
        }

    for page in PHRASES:
        if page not in index["docnames"]:
            logger.warning("search_words.py names the page %s, which does not exist.", page)
            continue
        for phrase in phrases_of(page):
            # The search leaves short words out, and those that every page has.
            words = {each for each in re.findall(r"\w+", phrase.lower()) if len(each) > 2}
            found = all(page in pages_with(each) for each in words - stopwords)
            # The index of a build has the entries of the pages that it has written alone.
            entries = app.env.domains.index_domain.entries[page]
            if not found or phrase not in [entry[1] for entry in entries]:
                logger.warning("A search for %r does not find %s.", phrase, page)
    for usual, other in PAIRS:
        if pages_with(usual) - pages_with(other):
            logger.warning("A search for %r does not find what %r finds.", other, usual)


def setup(app: Sphinx) -> dict[str, bool]:
    """Connect what Sphinx calls."""
    app.add_transform(AddWords)
    app.connect("build-finished", check)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
