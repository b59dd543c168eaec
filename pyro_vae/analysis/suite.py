"""The suite: all pictures of a model, by name.

`PICTURES` holds the file, the caption and the requirements of each picture; `draw` draws those that
apply. The pictures themselves are registered in `pyro_vae.analysis.pictures`.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure
from PIL import Image

from pyro_vae._files import write_bytes
from pyro_vae._progress import hidden, tqdm
from pyro_vae._spelling import suggestion
from pyro_vae.analysis.animation import Frame, frame_beside, save_gif
from pyro_vae.analysis.classes import has_classes
from pyro_vae.analysis.comparison import beside
from pyro_vae.analysis.style import png_of
from pyro_vae.analysis.subject import Subject
from pyro_vae.errors import PyroVAEError
from pyro_vae.evaluation import has_elbo, has_prior

Made = Figure | list[Frame]


class PictureError(PyroVAEError, ValueError):
    """There is no picture of the given name."""


@dataclass(frozen=True)
class Picture:
    """A picture of the suite.

    Attributes:
        file: the name of its file; a film ends in ".gif".
        title: its title in a report.
        caption: a sentence on what to look for.
        make: draws it.
        needs: its requirements, keys of `NEEDS`.
        slow: whether it takes more than about ten seconds; it is then drawn by default only if
            D > 2.
        together: draws several subjects, by name, on shared axes; without it, their pictures are
            put side by side.
    """

    file: str
    title: str
    caption: str
    make: Callable[[Subject], Made]
    needs: tuple[str, ...] = ()
    slow: bool = False
    together: Callable[[Mapping[str, Subject]], Figure] | None = None


NEEDS: dict[str, tuple[Callable[[Subject], bool], str]] = {
    "labels": (lambda s: has_classes(s.test), "the images have no classes"),
    "attributes": (lambda s: bool(s.test.attributes), "the images have no attributes"),
    "prior": (lambda s: has_prior(s.vae), "a flat prior has no samples and no ELBO"),
    "elbo": (lambda s: has_elbo(s.vae), "this model has no ELBO"),
    "autoencoder": (lambda s: s.autoencoder is not None, "there is no plain autoencoder"),
    "history": (lambda s: bool(s.history), "there is no training history"),
    "steps": (lambda s: len(s.training_steps) > 0, "the training steps were not logged"),
    "stages": (lambda s: bool(s.stages), "no codes were kept during training"),
    "its stages": (
        lambda s: bool(s.autoencoder_stages),
        "no codes of the plain autoencoder were kept during training",
    ),
    "two images": (lambda s: len(s.test) > 1, "there is only one test image"),
    "many dimensions": (lambda s: s.size > 2, "the latent space has at most two dimensions"),
    "predictable": (
        lambda s: has_classes(s.test) or bool(s.test.attributes),
        "the images have neither classes nor attributes",
    ),
}

PICTURES: dict[str, Picture] = {}


def picture(
    file: str,
    caption: str,
    *needs: str,
    title: str = "",
    slow: bool = False,
    together: Callable[[Mapping[str, Subject]], Figure] | None = None,
    beside_autoencoder: bool = False,
) -> Callable[[Callable[[Subject], Made]], Callable[[Subject], Made]]:
    """Register a picture under the stem of its file.

    Args:
        file: see `Picture`.
        caption: see `Picture`.
        needs: see `Picture`.
        title: see `Picture`; by default the words of the file's name.
        slow: see `Picture`.
        together: see `Picture`.
        beside_autoencoder: also register the same picture beside that of the plain autoencoder.
    """

    def register(make: Callable[[Subject], Made]) -> Callable[[Subject], Made]:
        stem, _, ending = file.rpartition(".")
        name = title or stem.replace("_", " ").capitalize()
        PICTURES[stem] = Picture(file, name, caption, make, needs, slow, together)
        if beside_autoencoder:
            stem = f"{stem}_beside_autoencoder"
            both = (*needs, "autoencoder", *["its stages"] * ("stages" in needs))
            where = "beside" if ending == "gif" else "above"
            text = f"The model {where} a plain autoencoder of the same architecture. {caption}"
            PICTURES[stem] = Picture(f"{stem}.{ending}", name, text, _both(make), both, slow)
        return make

    return register


def _both(make: Callable[[Subject], Made]) -> Callable[[Subject], Made]:
    def make_both(s: Subject) -> Made:
        ours, plain = s.drawn.get(make) or make(s), make(s.of_autoencoder)
        if isinstance(ours, list) and isinstance(plain, list):
            return _films_beside(ours, plain)
        assert not isinstance(ours, list) and not isinstance(plain, list)
        return beside({"VAE": ours, "plain autoencoder": plain})

    return make_both


def _films_beside(ours: list[Frame], plain: list[Frame]) -> list[Frame]:
    """Both films as one; frames that recur in both remain the same frame."""
    pairs = {(id(a), id(b)): (a, b) for a, b in zip(ours, plain, strict=True)}
    frames = {key: frame_beside(pair) for key, pair in pairs.items()}
    return [frames[id(a), id(b)] for a, b in zip(ours, plain, strict=True)]


def draw(
    subject: Subject, folder: Path, only: Sequence[str] | None = None, progress: bool = True
) -> list[Path]:
    """Draw the pictures of a subject into a folder; those that do not apply are skipped.

    Args:
        subject: the model and its images.
        folder: where the files go; created if necessary.
        only: names of `PICTURES`; by default all, the slow ones only if D > 2.
        progress: show a progress bar, and say why pictures of `only` do not apply.

    Returns:
        The files written.

    Raises:
        PictureError: there is no picture of such a name; the nearest name is given.
    """
    names = chosen(subject, only)
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    skipped: dict[str, list[str]] = {}
    bar = tqdm(names, desc="pictures", unit="picture", disable=hidden(progress))
    with bar, subject.laid_out():
        for name in bar:
            bar.set_postfix_str(name)
            if reason := missing(PICTURES[name], subject):
                skipped.setdefault(reason, []).append(name)
            else:
                written.append(_save(PICTURES[name], subject, folder))
    for reason, pictures in skipped.items() if progress and only else ():
        tqdm.write(f"Not drawn because {reason}: {', '.join(pictures)}.")
    return written


def missing(picture: Picture, subject: Subject) -> str | None:
    """Return why a picture does not apply to a subject; None if it does."""
    reasons = [NEEDS[need] for need in picture.needs]
    return next((reason for holds, reason in reasons if not holds(subject)), None)


def chosen(subject: Subject, only: Sequence[str] | None) -> list[str]:
    """Return the names of the pictures to draw: `only`, or the default ones of a subject.

    Raises:
        PictureError: there is no picture of such a name; the nearest name is given.
    """
    if only is None:
        return [name for name, p in PICTURES.items() if subject.size > 2 or not p.slow]
    for name in only:
        if name not in PICTURES:
            raise PictureError(f"There is no picture {name!r}. {suggestion(name, PICTURES)}")
    return list(only)


def _save(picture: Picture, subject: Subject, folder: Path) -> Path:
    made, path = picture.make(subject), folder / picture.file
    subject.drawn.clear()
    if isinstance(made, list):
        subject.drawn[picture.make] = made
        save_gif(made, path, within=folder)
    else:
        contents = png_of(made)
        subject.drawn[picture.make] = Image.open(io.BytesIO(contents))  # read when it is shown
        write_bytes(path, contents, within=folder)
    return path
