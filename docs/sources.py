"""The sources that the library and its pages name, and where they are read.

A source is named by its authors and year wherever it is used; `linked_terms.py` links them, and
`table` lists them.
"""

from typing import NamedTuple

ARXIV, DOI = "https://arxiv.org/abs/", "https://doi.org/"


class Source(NamedTuple):
    """A source.

    Attributes:
        key: its authors and year, as the pages name it.
        title: its title.
        address: where it is read; empty where no lasting address is known.
        also: another way in which pages name it.
    """

    key: str
    title: str
    address: str = ""
    also: str = ""

    @property
    def names(self) -> list[str]:
        """How pages name it."""
        return [each for each in (self.key, self.also) if each]


ARTICLES = (
    Source(
        "Sharma, 2023",
        "A Deep Dive into Variational Autoencoder with PyTorch (PyImageSearch)",
        "https://pyimg.co/7e4if",
        "Sharma, PyImageSearch, 2023",
    ),
    Source(
        "Zhong, 2024",
        "A Gentle Introduction to Variational Autoencoders (Vision Tech Insights)",
        "https://jianzhongdev.github.io/VisionTechInsights/posts/"
        "gentle_introduction_to_variational_autoencoders/",
        "Zhong, Vision Tech Insights, 2024",
    ),
    Source(
        "Sharma, 2021",
        "Variational Autoencoder in TensorFlow (LearnOpenCV)",
        "https://learnopencv.com",
        "Sharma, LearnOpenCV, 2021",
    ),
    Source("van de Kleut", "Variational AutoEncoders (VAE) with PyTorch"),
    Source(
        "Falcon, 2020",
        "Variational Autoencoder Demystified With PyTorch Implementation (Towards Data "
        "Science; the address is that of its code)",
        "https://github.com/williamFalcon/pytorch-lightning-vae",
    ),
)
PAPERS = (
    Source("Alemi et al., 2018", "Fixing a Broken ELBO", ARXIV + "1711.00464"),
    Source(
        "Barello, Charles and Pillow, 2018",
        "Sparse-Coding Variational Auto-Encoders",
        DOI + "10.1101/399246",
    ),
    Source(
        "Bengio et al., 2013",
        "Estimating or Propagating Gradients Through Stochastic Neurons for Conditional "
        "Computation",
        ARXIV + "1308.3432",
    ),
    Source(
        "Bowman et al., 2016",
        "Generating Sentences from a Continuous Space",
        ARXIV + "1511.06349",
    ),
    Source("Burda et al., 2016", "Importance Weighted Autoencoders", ARXIV + "1509.00519"),
    Source("Burgess et al., 2018", "Understanding Disentangling in beta-VAE", ARXIV + "1804.03599"),
    Source("Chen et al., 2017", "Variational Lossy Autoencoder", ARXIV + "1611.02731"),
    Source(
        "Chen et al., 2018",
        "Isolating Sources of Disentanglement in VAEs",
        ARXIV + "1802.04942",
    ),
    Source(
        "Davidson et al., 2018",
        "Hyperspherical Variational Auto-Encoders",
        ARXIV + "1804.00891",
    ),
    Source("De Cao and Aziz, 2020", "The Power Spherical distribution", ARXIV + "2006.04437"),
    Source("Dinh et al., 2017", "Density Estimation Using Real NVP", ARXIV + "1605.08803"),
    Source("Durkan et al., 2019", "Neural Spline Flows", ARXIV + "1906.04032"),
    Source(
        "Fu et al., 2019",
        "Cyclical Annealing Schedule: A Simple Approach to Mitigating KL Vanishing",
        ARXIV + "1903.10145",
    ),
    Source("Gumbel, 1958", "Statistics of Extremes"),
    Source("He et al., 2015", "Delving Deep into Rectifiers", ARXIV + "1502.01852"),
    Source("He et al., 2016", "Deep Residual Learning for Image Recognition", ARXIV + "1512.03385"),
    Source(
        "Higgins et al., 2017",
        "beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework",
        "https://openreview.net/forum?id=Sy2fzU9gl",
    ),
    Source(
        "Hinton and Salakhutdinov, 2006",
        "Reducing the Dimensionality of Data with Neural Networks",
        DOI + "10.1126/science.1127647",
    ),
    Source(
        "Hoffman and Johnson, 2016",
        "ELBO Surgery: Yet Another Way to Carve Up the Variational Evidence Lower Bound",
        "http://approximateinference.org/accepted/HoffmanJohnson2016.pdf",
    ),
    Source("Ioffe and Szegedy, 2015", "Batch Normalization", ARXIV + "1502.03167"),
    Source("Jiang et al., 2017", "Variational Deep Embedding", ARXIV + "1611.05148"),
    Source("Kingma and Welling, 2014", "Auto-Encoding Variational Bayes", ARXIV + "1312.6114"),
    Source(
        "Kingma and Welling, 2019",
        "An Introduction to Variational Autoencoders",
        ARXIV + "1906.02691",
    ),
    Source(
        "Kingma et al., 2016",
        "Improved Variational Inference with Inverse Autoregressive Flow",
        ARXIV + "1606.04934",
    ),
    Source(
        "Kingma, Rezende, Mohamed and Welling, 2014",
        "Semi-Supervised Learning with Deep Generative Models",
        ARXIV + "1406.5298",
    ),
    Source(
        "Loaiza-Ganem and Cunningham, 2019",
        "The continuous Bernoulli: fixing a pervasive error in variational autoencoders",
        ARXIV + "1907.06845",
    ),
    Source(
        "Loshchilov and Hutter, 2017",
        "SGDR: Stochastic Gradient Descent with Warm Restarts",
        ARXIV + "1608.03983",
    ),
    Source(
        "Mnih and Gregor, 2014",
        "Neural Variational Inference and Learning in Belief Networks",
        ARXIV + "1402.0030",
    ),
    Source(
        "Norouzi, Fleet and Norouzi, 2020",
        "Exemplar VAE: Linking Generative Models, Nearest Neighbor Retrieval, and Data "
        "Augmentation",
        ARXIV + "2004.04795",
    ),
    Source(
        "Papamakarios et al., 2017",
        "Masked Autoregressive Flow for Density Estimation",
        ARXIV + "1705.07057",
    ),
    Source(
        "Petroff, 2021",
        "Accessible Color Sequences for Data Visualization",
        ARXIV + "2107.02270",
    ),
    Source(
        "Rainforth et al., 2018",
        "Tighter Variational Bounds are Not Necessarily Better",
        ARXIV + "1802.04537",
    ),
    Source(
        "Rezende and Mohamed, 2015",
        "Variational Inference with Normalizing Flows",
        ARXIV + "1505.05770",
    ),
    Source("Salimans et al., 2017", "PixelCNN++", ARXIV + "1701.05517"),
    Source("Scott, 1992", "Multivariate Density Estimation", DOI + "10.1002/9780470316849"),
    Source(
        "Shoemake, 1985",
        "Animating Rotation with Quaternion Curves",
        DOI + "10.1145/325334.325242",
    ),
    Source(
        "Smith and Topin, 2018",
        "Super-Convergence: Very Fast Training of Neural Networks Using Large Learning Rates",
        ARXIV + "1708.07120",
    ),
    Source(
        "Sohn, Lee and Yan, 2015",
        "Learning Structured Output Representation using Deep Conditional Generative Models",
        "https://papers.nips.cc/paper/2015/hash/8d55a249e6baa5c06772297520da2051-Abstract.html",
    ),
    Source(
        "Takahashi et al., 2018",
        "Student-t Variational Autoencoder for Robust Density Estimation",
    ),
    Source(
        "Tipping and Bishop, 1999",
        "Probabilistic Principal Component Analysis",
        DOI + "10.1111/1467-9868.00196",
    ),
    Source("Tomczak and Welling, 2018", "VAE with a VampPrior", ARXIV + "1705.07120"),
    Source(
        "Tucker et al., 2018",
        "Doubly Reparameterized Gradient Estimators for Monte Carlo Objectives",
        ARXIV + "1810.04152",
    ),
    Source("van den Oord et al., 2016", "Pixel Recurrent Neural Networks", ARXIV + "1601.06759"),
    Source(
        "van der Maaten and Hinton, 2008",
        "Visualizing Data using t-SNE",
        "https://www.jmlr.org/papers/v9/vandermaaten08a.html",
    ),
    Source("Vehtari et al., 2015", "Pareto Smoothed Importance Sampling", ARXIV + "1507.02646"),
    Source(
        "Welford, 1962",
        "Note on a Method for Calculating Corrected Sums of Squares and Products",
        DOI + "10.1080/00401706.1962.10490022",
    ),
    Source(
        "Williams, 1992",
        "Simple Statistical Gradient-Following Algorithms for Connectionist Reinforcement Learning",
        DOI + "10.1007/BF00992696",
    ),
)
SOURCES = (*ARTICLES, *PAPERS)


def table(sources: tuple[Source, ...]) -> str:
    """Return sources as a table in Markdown."""
    lines = ["| source | title |", "|---|---|"]
    for each in sources:
        title = f"[{each.title}]({each.address})" if each.address else each.title
        lines.append(f"| {each.key} | {title} |")
    return "\n".join(lines) + "\n"
