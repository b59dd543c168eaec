"""The report of a run: a page with all that is known about it, which opens from disk.

It shows the numbers with their meanings, warnings, the latent explorer, every picture with what to
look for in it, the training history, the configuration, the provenance, and how to repeat the run.
"""

import io
import math
import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from PIL import Image, ImageSequence

from pyro_vae._files import open_regular, read_text, write_text
from pyro_vae._program import program
from pyro_vae._settings import declared
from pyro_vae.analysis.pages import explorer
from pyro_vae.analysis.pages.page import data_uri, document, render
from pyro_vae.analysis.pictures import PICTURES
from pyro_vae.analysis.style import number
from pyro_vae.analysis.subject import Subject
from pyro_vae.evaluation import has_elbo, has_prior, measure_of, verdict
from pyro_vae.evaluation.collapse import degree_of_collapse
from pyro_vae.evaluation.importance import PARETO_THRESHOLD
from pyro_vae.evaluation.table import ROWS, Metric
from pyro_vae.recipes import Recipe
from pyro_vae.training.records import RunFileError, warn_once
from pyro_vae.training.run_folder import Run

REPORT, EXPLORER = "report.html", "explorer.html"

#: Pictures that a training draws before its first epoch.
BEFORE = {
    "real_test_images_before_train.png": (
        "Test images before training",
        "The test images in the form that the model takes.",
    ),
    "reconstruct_before_train.png": (
        "Reconstructions before training",
        "The same images, reconstructed by the untrained model: the starting point of training.",
    ),
}
CURVES = PICTURES["training_curves"]  # shown with the training history
STILL_QUALITY, FILM_QUALITY = 82, 60
LONGEST_FILM_SIDE = 256  # pixels
#: More than this in one file is none of the pictures that this program draws.
MOST_PIXELS, MOST_FRAMES = 50_000_000, 2000

Caution = tuple[str, str]
"""A warning's title and its explanation."""


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
        run: the run folder; its configuration, history, evaluation, provenance and pictures are
            shown as far as they exist.
        pictures: names of `PICTURES`; by default all that are in the folder.
        dimensions: the explorer's two latent dimensions, from 0; by default those with the
            highest rate.
        axes: the explorer's axes, see `explorer.html`.
        progress: show progress bars.

    Returns:
        The two files.

    Raises:
        ArgumentError: the explorer cannot show these dimensions or axes.
    """
    name = run.folder.resolve().name
    with subject.laid_out():
        contents = explorer.explorer_contents(
            subject.vae,
            subject.test,
            dimensions=dimensions,
            axes=axes,
            seed=subject.seed,
            progress=progress,
            coded=subject.coded,
        )
    found = explorer.section(contents)
    alone = explorer.standalone(found, f"{name}: latent explorer")
    write_text(run.folder / EXPLORER, alone, within=run.folder)
    write_text(run.folder / REPORT, page(subject, run, found, pictures), within=run.folder)
    return [run.folder / REPORT, run.folder / EXPLORER]


def page(
    subject: Subject, run: Run, explored: str = "", pictures: Sequence[str] | None = None
) -> str:
    """Return the report as a page.

    Args:
        subject: the model and its images.
        run: the run folder.
        explored: the explorer's `section`, which is inserted as it is; other text is escaped.
        pictures: names of `PICTURES`; by default all that are in the folder.
    """
    name = run.folder.resolve().name
    numbers, settings, starts = run.numbers(), run.settings(), run.starts()
    configuration = read_text(run.configuration) if settings else ""
    alone, beside = _pictures(run.folder, pictures)
    curves = run.folder / CURVES.file
    body = render(
        "report.html",
        name=name,
        summary=_summary(subject),
        numbers=_numbers(numbers),
        images=number(numbers.get("images", 0)),
        verdict=numbers.get("verdict", ""),
        warnings=warnings(subject, numbers),
        explorer=explored,
        pictures=alone,
        beside=beside,
        curves=_picture(curves, CURVES.title, CURVES.caption),
        history=_history(subject.history),
        settings=_settings(settings),
        configuration=configuration,
        provenance=[_start(start) for start in starts],
        commands=_commands(run, " --trust" * _has_own_parts(settings)),
    )
    return document(f"{name}: report", body)


# The numbers and what to know about them


def _summary(subject: Subject) -> str:
    vae, data = subject.vae, subject.dataset
    parameters = sum(p.numel() for p in vae.parameters() if p.requires_grad)
    parts = (vae.prior, vae.likelihood, vae.posterior)
    prior, likelihood, posterior = (getattr(p, "__name__", type(p).__name__) for p in parts)
    shape = "×".join(map(str, data.image_shape))
    source = f" They come from {data.test.source}." if data.test.source else ""
    return (
        f"The model has the prior {prior}, the likelihood {likelihood}, the posterior {posterior}, "
        f"{_counted(vae.latent_size, 'latent dimension')} and {_counted(parameters, 'parameter')}. "
        f"The data set {data.name} has {_counted(len(data.train), 'training image')} and "
        f"{_counted(len(data.test), 'test image')} of shape {shape} (channels, height, width)."
        f"{source}"
    )


def _counted(count: int, what: str) -> str:
    return f"{number(count)} {what}{'' if count == 1 else 's'}"


class _Number(NamedTuple):
    name: str
    value: str
    unit: str
    meaning: str


def _numbers(numbers: Mapping[str, Any]) -> list[_Number]:
    rows = [_number(row, numbers[row.key]) for row in ROWS if numbers.get(row.key) is not None]
    if "active_units" in numbers:
        active = f"{numbers['active_units']} of {numbers['latent_size']}"
        meaning = "Latent dimensions that carry information about an image."
        rows.append(_Number("active units", active, "dimensions", meaning))
    return rows


def _number(row: Metric, value: float) -> _Number:
    return _Number(row.name, number(value, 2), row.unit, row.meaning)


def warnings(subject: Subject, numbers: Mapping[str, Any]) -> list[Caution]:
    """Return what to be careful about, as (title, explanation).

    Args:
        subject: the model and its images.
        numbers: those of its evaluation; may be empty.
    """
    return [
        *_about_latents(subject, numbers),
        *_about_likelihood(subject),
        *_about_estimates(numbers),
        *_about_test_images(subject),
    ]


def _about_latents(subject: Subject, numbers: Mapping[str, Any]) -> list[Caution]:
    if not has_prior(subject.vae):
        return [
            (
                "No ELBO",
                "This is a plain autoencoder: without a prior it has no ELBO, no rate, no "
                "log-likelihood, and nothing to sample new images from. Its distortion can be "
                "compared with that of models that use the same likelihood.",
            )
        ]
    if not has_elbo(subject.vae):
        return [
            (
                "No ELBO",
                "The posterior has no density: each image has a single latent vector, and no rate. "
                "Nothing made the latent vectors follow the prior that samples are drawn from.",
            )
        ]
    rate, active = numbers.get("rate"), numbers.get("active_units")
    if rate is None or active is None:
        return []
    titles = {
        "full": "Posterior collapse",
        "nearly": "Near posterior collapse",
        "partial": "Partial posterior collapse",
        "beyond": "A rate beyond what an image holds",
    }
    given = rate, active, numbers["latent_size"], math.prod(subject.test.image_shape)
    degree = degree_of_collapse(*given)
    return [] if degree == "none" else [(titles[degree], verdict(*given))]


def _about_likelihood(subject: Subject) -> list[Caution]:
    kind = type(subject.vae.likelihood).__name__
    measure = measure_of(subject.vae.likelihood, subject.test)
    if measure == "none":
        return [
            (
                "A likelihood outside its support",
                f"{kind} is a distribution over 0 and 1, but the images have gray levels in "
                "between. Its log p(x|z) is not a normalized density there: compare the numbers "
                "only with models that use the same likelihood. Bits per dimension are not "
                "defined.",
            )
        ]
    if measure == "density" and subject.test.pixels == "gray":
        return [
            (
                "A density on discrete levels",
                f"{kind} is a density, but the images have 256 discrete levels and were not "
                "dequantized. Such a density is unbounded: the ELBO can be positive, and it grows "
                "as the scale shrinks. Bits per dimension are not defined.",
            )
        ]
    return []


def _about_estimates(numbers: Mapping[str, Any]) -> list[Caution]:
    if not numbers:
        return [
            (
                "Not evaluated",
                f"The run folder has no evaluation.json: `{program('evaluate')}` writes it. The "
                "full command is under “How to repeat this run”.",
            )
        ]
    if numbers.get("untrusted"):
        return [
            (
                "Unreliable importance weights",
                f"For {numbers['untrusted']:.1%} of the images, the importance weights have a "
                f"Pareto k above {PARETO_THRESHOLD} with {number(numbers['samples'])} samples: a "
                "few weights dominate, and the log-likelihood estimates of these images are "
                "unreliable. Use more samples.",
            )
        ]
    return []


def _about_test_images(subject: Subject) -> list[Caution]:
    if not subject.roles_of_test:
        return []
    title = f"The test images {' and '.join(subject.roles_of_test)}"
    return [
        (title, "No validation images were held out, so the numbers on test images are optimistic.")
    ]


# The pictures


class _Picture(NamedTuple):
    """A picture as the template takes it.

    Attributes:
        title: in words.
        caption: what to look for.
        image: the address that holds it.
        width: in pixels.
        height: in pixels.
        still: of a film, its first frame, for readers who prefer no motion.
    """

    title: str
    caption: str
    image: str
    width: int
    height: int
    still: str | None = None


def _pictures(folder: Path, names: Sequence[str] | None) -> tuple[list[_Picture], list[_Picture]]:
    """The folder's pictures of the model, and those of it beside the plain autoencoder."""
    known = dict(BEFORE) if names is None else {}
    known |= {
        picture.file: (picture.title, picture.caption)
        for name, picture in PICTURES.items()
        if names is None or name in names
    }
    alone: list[_Picture] = []
    beside: list[_Picture] = []
    for file, (title, caption) in known.items():
        if file != CURVES.file and (found := _picture(folder / file, title, caption)):
            (beside if "_beside_autoencoder" in file else alone).append(found)
    return alone, beside


def _picture(path: Path, title: str, caption: str) -> _Picture | None:
    """Return a picture of the folder; None, with a warning if it is damaged or a link out of it."""
    try:
        with open_regular(path, within=path.parent) as file:
            return _embedded(file, path.suffix, title, caption)
    except FileNotFoundError:
        return None
    except (KeyboardInterrupt, MemoryError):
        raise
    except Exception as error:  # Pillow raises many kinds.
        reason = str(error).partition("\n")[0]
        warn_once(f"{path} is left out of the report: {reason} Draw it again.")
        return None


def _embedded(file: BinaryIO, ending: str, title: str, caption: str) -> _Picture:
    # Pillow would also open files that other programs interpret.
    with Image.open(file, formats=["GIF" if ending == ".gif" else "PNG"]) as picture:
        if picture.width * picture.height > MOST_PIXELS:
            raise RunFileError("it is too large.")
        if ending == ".gif":
            return _film(picture, title, caption)
        image = _webp(picture.convert("RGB"), quality=STILL_QUALITY, method=2)
        return _Picture(title, caption, image, picture.width, picture.height)


def _frames(gif: Image.Image) -> Iterator[Image.Image]:
    for count, frame in enumerate(ImageSequence.Iterator(gif), start=1):
        if count > MOST_FRAMES:
            raise RunFileError(f"it has more than {MOST_FRAMES} frames.")
        yield _fitted(frame.convert("RGB"))


def _film(gif: Image.Image, title: str, caption: str) -> _Picture:
    duration = gif.info.get("duration", 50)  # milliseconds per frame
    first, *rest = _frames(gif)
    film = _webp(
        first,
        save_all=True,
        append_images=rest,
        duration=duration,
        loop=0,
        quality=FILM_QUALITY,
        method=2,
    )
    still = _webp(first, quality=STILL_QUALITY)
    return _Picture(title, caption, film, first.width, first.height, still)


def _fitted(frame: Image.Image) -> Image.Image:
    """A frame of at most `LONGEST_FILM_SIDE` rows."""
    scale = min(1.0, LONGEST_FILM_SIDE / frame.height)
    size = round(frame.width * scale), round(frame.height * scale)
    return frame if scale == 1 else frame.resize(size)


def _webp(picture: Image.Image, **options: Any) -> str:
    file = io.BytesIO()
    picture.save(file, "WEBP", **options)
    return data_uri(file.getvalue())


# History, configuration, provenance, repetition


def _history(history: Sequence[Mapping[str, float]]) -> dict[str, list[Any]] | None:
    if not history:
        return None
    names = list(dict.fromkeys(name for record in history for name in record))
    return {
        "names": [name.replace("_", " ") for name in names],
        "rows": [[_measured(name, record.get(name)) for name in names] for record in history],
    }


def _measured(name: str, value: float | None) -> str:
    if value is None:
        return ""
    if name == "epoch":
        return str(int(value))
    return f"{value:.2e}" if name == "learning_rate" else number(value, 2)


def _settings(settings: Mapping[str, Any]) -> list[dict[str, str]]:
    known = declared(Recipe)
    return [
        {
            "name": name.replace("_", " "),
            "value": _value(value),
            "help": known[name].help if name in known else "",
        }
        for name, value in settings.items()
    ]


def _value(value: Any) -> str:
    """The value of a setting; a part of the model as Normal(scale=0.25, learned=True)."""
    if _is_part(value):
        arguments = value.get("init_args")
        named = arguments.items() if isinstance(arguments, Mapping) else ()
        given = ", ".join(f"{name}={each}" for name, each in named)
        return f"{str(value['class_path']).rpartition('.')[2]}({given})"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)


def _start(start: Mapping[str, Any]) -> dict[str, str]:
    """One start of a training: when, by which command, with which versions, on what machine."""
    versions, machine = start.get("versions", {}), start.get("machine", {})
    return {
        "started": start.get("started", ""),
        "command": start.get("command", ""),
        "versions": ", ".join(f"{package} {version}" for package, version in versions.items()),
        "machine": ", ".join(f"{k} {v}" for k, v in machine.items() if v is not None),
    }


def _has_own_parts(settings: Mapping[str, Any]) -> bool:
    """Return whether a saved configuration names code that is not this library's or torch's."""
    known = declared(Recipe)
    parts = [value for name, value in settings.items() if name in known and known[name].part]
    paths = [str(value["class_path"] if _is_part(value) else value) for value in parts]
    return any("." in path and path.split(".")[0] not in ("pyro_vae", "torch") for path in paths)


def _is_part(value: Any) -> bool:
    return isinstance(value, Mapping) and "class_path" in value


def _commands(run: Run, flag: str) -> list[tuple[str, str]]:
    """What the commands are for, and the commands, with a flag that they need.

    None where the folder has no configuration, as that of `fit(folder=...)`.
    """
    if not run.configuration.exists():
        return []
    folder, again = shlex.quote(str(run.folder)), shlex.quote(f"{run.folder}-again")
    configuration = shlex.quote(str(run.configuration))
    return [
        (
            "Train again with the same settings and seed, into another folder:",
            f"{program('train')} --config {configuration} --out {again}{flag}",
        ),
        (
            "Estimate log p(x) with 5,000 importance samples per image:",
            f"{program('evaluate')} {folder} --samples 5000{flag}",
        ),
        (
            "Draw the pictures, this report and the explorer again:",
            f"{program('analyze')} {folder}{flag}",
        ),
    ]
