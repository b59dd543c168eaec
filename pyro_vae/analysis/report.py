"""The report of a run: everything known of it on one page, which opens from disk and loads nothing.

The numbers with what each means, what to be careful with, the explorer, every picture with what to
look for in it, the history, the configuration, and how to repeat the run.
"""

import io
import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from PIL import Image, ImageSequence

from pyro_vae.analysis import explorer, pages
from pyro_vae.analysis.gallery import PICTURES, Subject
from pyro_vae.analysis.style import number
from pyro_vae.evaluation import has_elbo, has_prior, measure_of
from pyro_vae.evaluation_table import ROWS
from pyro_vae.runs import Run, write_text

REPORT, EXPLORER = "report.html", "explorer.html"

MEANINGS = {
    "elbo": "The evidence lower bound: what training raises, and at most log p(x). Higher is "
    "better. It is minus the distortion minus the rate.",
    "standard_error": "How far the number above would move with other test images.",
    "distortion": "How badly images are drawn again from their codes: lower is closer.",
    "rate": "What a code says of its image beyond the prior. Near 0, codes say nothing.",
    "published_loss": "The same terms, weighted as the system's source weighs them.",
    "bits_per_dimension": "The bits that a file of such an image would need for each value.",
    "negative_log_likelihood": "A tighter estimate than the ELBO, by importance sampling: lower "
    "is better.",
    "log_likelihood_bits": "That estimate in bits for each value of an image.",
    "log_likelihood_error": "How far that estimate would move with other test images.",
    "sampling_error": "How far one image's estimate would move with other samples.",
}
BEFORE = {
    "real_test_images_before_train.png": "Test images, as seen before training.",
    "reconstruct_before_train.png": "The same images through the untrained model: this is where "
    "training started.",
}
CURVES = PICTURES["training_curves"].file  # shown with the history
STILL_QUALITY, FILM_QUALITY = 82, 60
LONGEST_FILM_SIDE = 256  # pixels


def write(
    subject: Subject,
    run: Run,
    *,
    pictures: Sequence[str] | None = None,
    dimensions: Sequence[int] | None = None,
    axes: explorer.Axes = "dimensions",
    progress: bool = True,
) -> list[Path]:
    """Write `report.html` and `explorer.html` into a run folder.

    Args:
        subject: the model and its images.
        run: its configuration, its evaluation and its pictures are read, those that there are.
        pictures: names of `PICTURES`; by default all that lie in the folder.
        dimensions: of the explorer, counted from 0; by default those of the highest rate.
        axes: of the explorer, see `explorer.html`.
        progress: show bars.

    Returns:
        The two files.

    Raises:
        ValueError: the explorer has no such dimensions or axes.
    """
    name = run.folder.resolve().name
    found = explorer.section(
        subject.vae,
        subject.test,
        dimensions=dimensions,
        axes=axes,
        seed=subject.seed,
        progress=progress,
    )
    write_text(run.folder / EXPLORER, explorer.page(found, f"{name}: latent explorer"))
    write_text(run.folder / REPORT, page(subject, run, found, pictures))
    return [run.folder / REPORT, run.folder / EXPLORER]


def page(
    subject: Subject, run: Run, explored: str = "", pictures: Sequence[str] | None = None
) -> str:
    """The report as a page; `explored` is the explorer's `section`."""
    numbers = json.loads(run.evaluation.read_text()) if run.evaluation.exists() else {}
    text = run.configuration.read_text() if run.configuration.exists() else ""
    settings = (yaml.safe_load(text) if text else None) or {}
    shown, links = _pictures(run.folder, pictures)
    body = pages.fill(
        "report.html",
        title=pages.text(run.folder.resolve().name),
        summary=pages.text(_summary(subject)),
        links=_links(links),
        numbers=_numbers(numbers),
        warnings=_warnings(warnings(subject, numbers)),
        explorer=explored,
        pictures=shown,
        history=_history(run.folder / CURVES, subject.history),
        configuration=_configuration(settings, text),
        repeat=_repeat(run),
    )
    style = f"<style>\n{pages.read('report.css')}</style>\n"
    return pages.page(f"{run.folder.resolve().name}: report", style + body)


def warnings(subject: Subject, numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What to be careful with, as (title, explanation).

    Args:
        subject: the model and its images.
        numbers: of its evaluation; may be empty.
    """
    found = [
        *_about_latents(subject, numbers),
        *_about_likelihood(subject),
        *_about_estimates(subject, numbers),
    ]
    if subject.role_of_test.startswith(("choose", "drive")):
        found.append(
            (
                f"The test images {subject.role_of_test}",
                "No images were held out, so the numbers on the test images are too good.",
            )
        )
    return found


def _about_latents(subject: Subject, numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not has_prior(subject.vae):
        return [
            (
                "No ELBO",
                "This is a plain autoencoder: without a prior there is no ELBO, no rate, no "
                "log-likelihood, and nothing to draw new images from. Its distortion may be "
                "compared with another model's, under the same likelihood.",
            )
        ]
    if not has_elbo(subject.vae):
        return [
            (
                "No ELBO",
                "The posterior has no density: each image has one code, and no rate. Samples are "
                "of a prior that nothing drew the codes to.",
            )
        ]
    verdict = numbers.get("verdict", "")
    if verdict.startswith(("Collapsed", "Partly collapsed")):
        title, _, explanation = verdict.partition(": ")
        return [(f"Posterior collapse: {title.lower()}", explanation.strip())]
    return []


def _about_likelihood(subject: Subject) -> list[tuple[str, str]]:
    kind = type(subject.vae.likelihood).__name__
    measure = measure_of(subject.vae.likelihood, subject.test)
    if measure == "none":
        return [
            (
                "A likelihood off its support",
                f"{kind} is a distribution over 0 and 1, but was used on grey levels between "
                "them. Its log p(x|z) is no normalised density there: compare the numbers with "
                "models of this same likelihood alone. There are no bits per dimension.",
            )
        ]
    if measure == "density" and subject.test.pixels == "grey":
        return [
            (
                "A density on discrete levels",
                f"{kind} is a density, but the images are of 256 levels and were not dequantised. "
                "Such a density has no upper bound: its ELBO can be positive, and grows as the "
                "scale shrinks. There are no bits per dimension.",
            )
        ]
    return []


def _about_estimates(subject: Subject, numbers: Mapping[str, Any]) -> list[tuple[str, str]]:
    if not numbers:
        return [("Not evaluated", "No evaluation.json lies in the run folder: run evaluate.py.")]
    if numbers.get("untrusted"):
        return [
            (
                "Over-confident weights",
                f"For {numbers['untrusted']:.1%} of the images the importance weights have a "
                f"Pareto k above 0.7 with {number(numbers['samples'])} samples: a few weights "
                "decide, and the log-likelihood there is not to be trusted. Take more samples.",
            )
        ]
    return []


def _summary(subject: Subject) -> str:
    vae, data = subject.vae, subject.dataset
    parameters = sum(p.numel() for p in vae.parameters() if p.requires_grad)
    parts = [type(part).__name__ for part in (vae.prior, vae.likelihood, vae.posterior)]
    shape = "×".join(map(str, data.image_shape))
    latents = f"{vae.latent_size} latent dimension{'s' * (vae.latent_size > 1)}"
    return (
        f"Prior {parts[0]}, likelihood {parts[1]}, posterior {parts[2]}, {latents}, "
        f"{number(parameters)} parameters. {data.name}: {number(len(data.train))} training and "
        f"{number(len(data.test))} test images of {shape} (channels, height, width)"
        f"{', from ' + data.test.source if data.test.source else ''}."
    )


def _links(pictures: Mapping[str, str]) -> str:
    sections = {
        "numbers": "Numbers",
        "warnings": "What to be careful with",
        "explorer": "Latent explorer",
        **pictures,
        "history": "History",
        "configuration": "Configuration",
        "repeat": "How to repeat it",
    }
    return "".join(f'<li><a href="#{key}">{name}</a></li>' for key, name in sections.items())


def _numbers(numbers: Mapping[str, Any]) -> str:
    if not numbers:
        return "<p>This run was not evaluated.</p>"
    rows = [
        [name, number(numbers[key], 2), unit, MEANINGS[key]]
        for key, name, unit in ROWS
        if numbers.get(key) is not None
    ]
    if "active_units" in numbers:
        active = f"{numbers['active_units']} of {numbers['latent_size']}"
        rows.append(["active units", active, "dimensions", "Those that say something of an image."])
    caption = f"On {number(numbers['images'])} test images. {numbers['verdict']}"
    return _table(("what", "value", "unit", "what it means"), rows, caption, "numbers")


def _warnings(found: Sequence[tuple[str, str]]) -> str:
    if not found:
        return "<p>Nothing stood out.</p>"
    items = [
        f"<li><strong>{pages.text(title)}.</strong> {pages.text(explanation)}</li>"
        for title, explanation in found
    ]
    return f'<ul class="warnings">{"".join(items)}</ul>'


# The pictures


def _pictures(folder: Path, names: Sequence[str] | None) -> tuple[str, dict[str, str]]:
    """The pictures' sections, and their names by id."""
    captions = BEFORE if names is None else {}
    captions = captions | {
        picture.file: picture.caption
        for name, picture in PICTURES.items()
        if names is None or name in names
    }
    there = {
        file: text for file, text in captions.items() if file != CURVES and (folder / file).exists()
    }
    beside = {file: text for file, text in there.items() if "_beside_autoencoder" in file}
    alone = {file: text for file, text in there.items() if file not in beside}
    sections = {"pictures": ("Pictures", alone), "beside": ("Beside the plain autoencoder", beside)}
    html = "".join(
        f'<section id="{key}"><h2>{name}</h2>\n<div class="pictures">'
        + "".join(_figure(folder / file, caption) for file, caption in files.items())
        + "</div></section>\n"
        for key, (name, files) in sections.items()
        if files
    )
    return html, {key: name for key, (name, files) in sections.items() if files}


def _figure(path: Path, caption: str) -> str:
    title = path.stem.removesuffix("_beside_autoencoder").replace("_", " ").capitalize()
    words = f"<figcaption><h3>{pages.text(title)}</h3><p>{pages.text(caption)}</p></figcaption>"
    image = _film if path.suffix == ".gif" else _still
    return f"<figure>{image(path, pages.text(f'{title}. {caption}'))}{words}</figure>\n"


def _still(path: Path, alt: str) -> str:
    with Image.open(path) as picture:
        address = _webp(picture.convert("RGB"), quality=STILL_QUALITY, method=4)
        return _img(address, alt, picture.size)


def _film(path: Path, alt: str) -> str:
    """A GIF, as a film; its first frame alone for those who want no motion."""
    with Image.open(path) as gif:
        seconds = gif.info.get("duration", 50)
        frames = [_fitted(frame.convert("RGB")) for frame in ImageSequence.Iterator(gif)]
    first, *rest = frames
    film = _webp(
        first,
        save_all=True,
        append_images=rest,
        duration=seconds,
        loop=0,
        quality=FILM_QUALITY,
        method=2,
    )
    still = _webp(first, quality=STILL_QUALITY)
    return (
        f'<picture><source media="(prefers-reduced-motion: reduce)" srcset="{still}">'
        f"{_img(film, alt, first.size, 'film')}</picture>"
    )


def _fitted(frame: Image.Image) -> Image.Image:
    """A frame of no more than `LONGEST_FILM_SIDE` rows."""
    scale = min(1.0, LONGEST_FILM_SIDE / frame.height)
    return frame if scale == 1 else frame.resize([round(side * scale) for side in frame.size])


def _webp(picture: Image.Image, **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", **options)
    return pages.data_uri(file.getvalue())


def _img(address: str, alt: str, size: tuple[int, int], style: str = "") -> str:
    width, height = size
    kind = f' class="{style}"' if style else ""
    return f'<img{kind} src="{address}" alt="{alt}" width="{width}" height="{height}">'


# History, configuration, repetition


def _history(curves: Path, history: Sequence[Mapping[str, float]]) -> str:
    if not history:
        return "<p>No history of the training was given.</p>"
    names = list(dict.fromkeys(name for record in history for name in record))
    rows = [[_measured(name, record.get(name)) for name in names] for record in history]
    head = [name.replace("_", " ") for name in names]
    caption = (
        "One row for each epoch, in nats per image; a published loss is on its source's scale."
    )
    picture = _figure(curves, PICTURES["training_curves"].caption) if curves.exists() else ""
    table = _table(head, rows, caption, right=range(len(names)))
    summary = f"The numbers of {len(history)} epoch{'s' * (len(history) > 1)}"
    details = f"<details><summary>{summary}</summary>{table}</details>"
    return f'<div class="pictures">{picture}</div>{details}'


def _measured(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "epoch":
        return str(int(value))
    return f"{value:.2e}" if name == "learning_rate" else number(value, 2)


def _configuration(settings: Mapping[str, Any], text: str) -> str:
    if not settings:
        return "<p>No configuration lies in the run folder.</p>"
    rows = [[name.replace("_", " "), _setting(value)] for name, value in settings.items()]
    return (
        _table(("setting", "value"), rows, right=())
        + "<details><summary>The file config.yaml</summary>"
        + f"<pre><code>{pages.text(text)}</code></pre></details>"
    )


def _setting(value: Any) -> str:
    """A setting as one writes it: a part of the model as Normal(scale=0.25, learned=True)."""
    if isinstance(value, Mapping) and "class_path" in value:
        given = ", ".join(f"{k}={v}" for k, v in (value.get("init_args") or {}).items())
        return f"{value['class_path'].rpartition('.')[2]}({given})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _repeat(run: Run) -> str:
    folder = shlex.quote(str(run.folder))
    commands = {
        "Train again, with the same settings and seed, into another folder:": "python "
        f"scripts/train_svi.py --config {shlex.quote(str(run.configuration))} --out "
        f"{shlex.quote(str(run.folder) + '-again')}",
        "Estimate log p(x) with 5,000 importance samples an image:": "python scripts/evaluate.py "
        f"{folder} --samples 5000",
        "Draw the pictures, this report and the explorer again:": "python scripts/analyze.py "
        f"{folder}",
    }
    return "".join(
        f"<p>{pages.text(what)}</p><pre><code>{pages.text(command)}</code></pre>"
        for what, command in commands.items()
    )


def _table(
    head: Sequence[str],
    rows: Sequence[Sequence[str]],
    caption: str = "",
    style: str = "",
    right: Sequence[int] = (1,),
) -> str:
    """A table whose first column names the rows; the columns in `right` are numbers."""

    def cell(tag: str, column: int, value: str) -> str:
        scope = "" if tag == "td" else ' scope="col"' if value in head else ' scope="row"'
        kind = "number" if column in right else head[column]
        return f'<{tag} class="{kind}"{scope}>{pages.text(value)}</{tag}>'

    first = "".join(cell("th", i, name) for i, name in enumerate(head))
    rest = "".join(
        "<tr>" + "".join(cell("td" if i else "th", i, v) for i, v in enumerate(row)) + "</tr>\n"
        for row in rows
    )
    words = f"<caption>{pages.text(caption)}</caption>" if caption else ""
    return (
        f'<div class="scroll"><table class="{style}">{words}<thead><tr>{first}</tr></thead>\n'
        f"<tbody>{rest}</tbody></table></div>"
    )
