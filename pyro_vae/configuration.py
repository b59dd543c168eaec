"""Configuration: a run's settings, from a recipe and the command line, to a file and back.

Every part of a model is chosen by the name of a class and that class's own arguments
(`--prior NAME --prior.argument VALUE`, `--prior.help NAME`), through jsonargparse.
"""

import argparse
import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

import yaml
from jsonargparse import DefaultHelpFormatter, Namespace
from jsonargparse.typing import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt
from torch import nn

from pyro_vae.annealing import Annealing
from pyro_vae.data import Dataset, load
from pyro_vae.likelihoods import Likelihood
from pyro_vae.networks import Decoder, Encoder, ImageShape
from pyro_vae.objectives import Objective
from pyro_vae.parsing import Parser, nearest
from pyro_vae.posteriors import Posterior
from pyro_vae.priors import Prior
from pyro_vae.recipes import RECIPES, Recipe, listing
from pyro_vae.schedules import Schedule


class ConfigurationError(ValueError):
    """A setting names nothing that exists, or does not fit the others."""


@dataclass(frozen=True)
class Option:
    """A setting of a recipe: its type and help, and further names on the command line."""

    type: Any
    help: str
    aliases: tuple[str, ...] = ()
    base: type | None = None


OPTIONS: dict[str, dict[str, Option]] = {
    "the data": {
        "data": Option(str, "a data set's name, or the path of a folder or file of images"),
        "size": Option(PositiveInt | None, "pixels of a side that images are resized to"),
        "channels": Option(Literal[1, 3] | None, "1 for grey, 3 for RGB (default: as they are)"),
        "padding": Option(NonNegativeInt, "pixels of 0 added on each side of an image"),
        "pixels": Option(
            Literal["grey", "binarised", "binarised-once", "dequantised"],
            "what levels become: k/255; 0 or 1, drawn anew each time or once; (k + noise)/256",
        ),
        "validation": Option(
            NonNegativeInt,
            "training images held out to choose the weights (a tenth at most); "
            "0: the test images choose them",
        ),
    },
    "the model": {
        "latent_size": Option(PositiveInt, "the dimension D of the latent space"),
        "prior": Option(Callable[[int], Prior], "p(z)", base=Prior),
        "likelihood": Option(Callable[[nn.Module], Likelihood], "p(x|z)", base=Likelihood),
        "posterior": Option(Callable[[nn.Module, int], Posterior], "q(z|x)", base=Posterior),
        "encoder": Option(
            Callable[[ImageShape], Encoder], "network, images to features", base=Encoder
        ),
        "decoder": Option(
            Callable[[int, ImageShape], Decoder], "network, latents to images", base=Decoder
        ),
    },
    "the training": {
        "objective": Option(Callable[[], Objective], "the bound maximised", base=Objective),
        "beta": Option(NonNegativeFloat, "the weight of the rate, KL(q(z|x) || p(z))"),
        "annealing": Option(
            Callable[[], Annealing], "which part of beta counts when", base=Annealing
        ),
        "epochs": Option(PositiveInt | None, "how often every training image is seen"),
        "batch_size": Option(PositiveInt, "images per step"),
        "learning_rate": Option(PositiveFloat, "Adam's, at its highest", ("--lr",)),
        "epsilon": Option(PositiveFloat, "Adam's, for gradients in nats per image"),
        "schedule": Option(Callable[[], Schedule], "of the learning rate", base=Schedule),
        "keep": Option(
            Literal["best", "last"], "the weights of the best epoch by validation, or of the last"
        ),
        "new_draws": Option(bool, "validate at new draws of the codes every epoch (true or false)"),
    },
}
SETTINGS = {name: option for group in OPTIONS.values() for name, option in group.items()}
#: Changes after which a loss on the source's scale would mean nothing.
INCOMPARABLE = {"prior", "likelihood", "latent_size", "pixels"}
#: What a run folder does not remember: where it is, and on what machine it ran.
PASSING = ("config", "out", "resume", "device", "with_autoencoder")


@dataclass(frozen=True)
class Configuration:
    """All settings of a run.

    Attributes:
        recipe: the system, with every override applied.
        settings: everything as parsed: `data_dir`, `limit`, `seed`, `out`, ...
        text: what reproduces the run, as YAML.
        changed: the settings of the recipe that were overridden, by name.
    """

    recipe: Recipe
    settings: Namespace
    text: str
    changed: tuple[str, ...]

    def text_with(self, **settings: Any) -> str:
        """The text with settings that only the images decide."""
        return yaml.safe_dump(yaml.safe_load(self.text) | settings, sort_keys=False)

    def dataset(self) -> Dataset:
        """The run's images, sized, padded and binarised as its recipe says.

        Raises:
            DataError: they cannot be had, or are not as they should be.
        """
        recipe, settings = self.recipe, self.settings
        found = load(
            recipe.data,
            data_dir=settings.data_dir,
            size=recipe.size,
            channels=recipe.channels,
            skip_corrupt=settings.skip_corrupt,
            stream=settings.stream,
        ).pad(recipe.padding)
        if recipe.pixels == "binarised-once":
            train, test = found.train, found.test  # Each with noise of its own.
            return replace(
                found,
                train=train.binarised_once(settings.seed),
                test=test.binarised_once(settings.seed + 1),
            )
        return found.map(lambda part: part.with_pixels(recipe.pixels))


def parse(arguments: Sequence[str], description: str = "") -> Configuration:
    """A run's configuration from command-line arguments, the program's name not among them.

    Raises:
        ConfigurationError: there is no such recipe or part; names the nearest.
        SystemExit: after the help, or an error that names the option.
    """
    recipe = choose_recipe(arguments)
    check_parts(arguments)
    reader = parser(recipe, description)
    settings = reader.parse_args(list(arguments))
    made = reader.instantiate(settings)
    defaults = reader.get_defaults()
    defaults["epochs"] = recipe.epochs if settings.epochs else None
    changed = tuple(name for name in SETTINGS if settings[name] != defaults[name])
    chosen = {name: made[name] for name in SETTINGS} | {
        "epochs": int(settings.epochs or recipe.epochs)
    }
    if settings.epochs or settings.limit:
        chosen |= {"least_steps": 0}
    recipe = recipe.with_settings(**chosen)
    if changed:
        recipe = recipe.with_settings(summary=f"{recipe.summary}; changed: {', '.join(changed)}")
    if not INCOMPARABLE.isdisjoint(changed):
        recipe = recipe.with_settings(published_loss=None)
    lasting = settings.clone()
    for name in PASSING:
        lasting.pop(name, None)
    return Configuration(
        recipe=recipe,
        settings=settings,
        text=reader.dump(lasting, skip_validation=True),
        changed=changed,
    )


def read(path: Path, *arguments: str) -> Configuration:
    """The configuration saved in a run folder's `config.yaml`, overridden by `arguments`."""
    return parse(["--config", str(path), *arguments])


class Formatter(DefaultHelpFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that names the classes of a part, and no default where there is none."""

    def _get_help_string(self, action: argparse.Action) -> str:
        option = SETTINGS.get(action.dest)
        if option is not None and option.base:
            default = action.default["class_path"].rpartition(".")[2]
            return f"{option.help}: {', '.join(classes(action.dest))} (default: {default})"
        if action.default is None or action.default is False:
            return action.help
        if action.dest.endswith(".help"):
            return "the settings of the class NAME"
        return super()._get_help_string(action)


def parser(recipe: Recipe, description: str = "") -> Parser:
    """A parser of every setting, whose defaults are a recipe's."""
    result = Parser(
        description=description,
        usage="%(prog)s [options]",
        allow_abbrev=False,
        formatter_class=Formatter,
    )
    group = result.add_argument_group("the run")
    group.add_argument(
        "--recipe", default=recipe.name, help=f"the system: {', '.join(RECIPES)}; help: about each"
    )
    group.add_argument("--as-published", action="store_true", help="with its source's settings")
    group.add_argument(
        "--autoencoder", action="store_true", help="the plain autoencoder of the same shape"
    )
    group.add_argument(
        "--with-autoencoder", action="store_true", help="train the plain autoencoder beside it"
    )
    group.add_argument("--config", action="config", help="settings from a run's config.yaml")
    group.add_argument("--out", help="the run folder (default: runs/RECIPE, the next free one)")
    group.add_argument("--resume", action="store_true", help="go on with the run in --out")
    group.add_argument(
        "--start-from", type=str | None, help="train on from the weights of this run folder"
    )
    group.add_argument("--device", help="cuda, mps or cpu (default: the first there is)")
    group.add_argument("--seed", type=int, default=0, help="of weights, order and draws")
    groups = {title: result.add_argument_group(title) for title in OPTIONS}
    groups["the data"].add_argument(
        "--data-dir", help="where data sets are kept (default: PYRO_VAE_DATA, else data/)"
    )
    groups["the data"].add_argument(
        "--skip-corrupt", action="store_true", help="leave out image files that cannot be read"
    )
    groups["the data"].add_argument(
        "--stream",
        type=bool | None,
        help="whether images stay in their files and are read batch by batch "
        "(default: those that would take more than half of the memory)",
    )
    groups["the data"].add_argument(
        "--limit", type=PositiveInt | None, help="train on the first LIMIT images"
    )
    for title, options in OPTIONS.items():
        for name, option in options.items():
            groups[title].add_argument(
                "--" + name.replace("_", "-"),
                *option.aliases,
                type=option.type,
                # How often few images are seen depends on their number.
                default=None if name == "epochs" else as_setting(getattr(recipe, name)),
                metavar="NAME" if option.base else None,
                help=option.help + (_default_epochs(recipe) if name == "epochs" else ""),
            )
    return result


def _default_epochs(recipe: Recipe) -> str:
    few = (
        f"; few images: until there are {recipe.least_steps:,} steps" if recipe.least_steps else ""
    )
    return f" (default: {recipe.epochs}{few})"


def choose_recipe(arguments: Sequence[str]) -> Recipe:
    """The recipe that command-line arguments name, as published or as an autoencoder if they say.

    Raises:
        ConfigurationError: there is no such recipe; names the nearest.
    """
    chosen = _look(arguments, ("recipe", "data", "config"), ("as-published", "autoencoder"))
    saved = _saved(chosen.config)
    name = chosen.recipe or saved.get("recipe") or next(iter(RECIPES))
    if name == "help":
        print(listing())
        sys.exit()
    if name not in RECIPES:
        raise ConfigurationError(f"There is no recipe {name!r}. {nearest(name, RECIPES)}")
    recipe = RECIPES[name]
    if chosen.as_published or saved.get("as_published"):
        recipe = recipe.as_published()
    if chosen.autoencoder or saved.get("autoencoder"):
        recipe = recipe.as_autoencoder()
    if (chosen.data or saved.get("data")) not in (None, recipe.data):
        # A recipe sizes and pads the images it was written for, no others.
        recipe = recipe.with_settings(padding=0, size=None)
    return recipe


def check_parts(arguments: Sequence[str]) -> None:
    """Refuse the name of a part that is neither this library's nor a dotted path.

    Raises:
        ConfigurationError: names the nearest.
    """
    parts = [name for name, option in SETTINGS.items() if option.base]
    named = _look(arguments, [*parts, *(f"{part}.help" for part in parts)])
    for option, name in vars(named).items():
        part = option.removesuffix(".help")
        known = classes(part)
        if name is not None and name not in known and "." not in name and name[:1] != "{":
            raise ConfigurationError(f"There is no {part} {name!r}. {nearest(name, known)}")


def classes(part: str) -> dict[str, type]:
    """This library's classes for a part of a model ("prior", "encoder", ...), by name."""
    found, todo = {}, list(SETTINGS[part].base.__subclasses__())
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("pyro_vae.") and not kind.__name__.startswith("_"):
            found[kind.__name__] = kind
    return dict(sorted(found.items()))


def as_setting(value: Any) -> Any:
    """A recipe's part, a class or a `partial` of one, as jsonargparse writes it."""
    factory, settings = (value.func, value.keywords) if isinstance(value, partial) else (value, {})
    if not inspect.isclass(factory):
        return value
    path = f"{factory.__module__}.{factory.__qualname__}"
    return {"class_path": path, "init_args": dict(settings)}


def _look(
    arguments: Sequence[str], options: Iterable[str], flags: Iterable[str] = ()
) -> argparse.Namespace:
    """A first look at a few options, before the parser that they decide upon is made."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in options:
        first.add_argument(f"--{option}")
    for flag in flags:
        first.add_argument(f"--{flag}", action="store_true")
    return first.parse_known_args(arguments)[0]


def _saved(path: str | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        saved = yaml.safe_load(Path(path).read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigurationError(f"The configuration {path} cannot be read: {error}") from None
    if not isinstance(saved, dict):
        raise ConfigurationError(f"{path} holds no settings: a line for each, such as `epochs: 5`.")
    return saved
