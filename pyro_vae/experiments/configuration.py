"""Configuration: a run's settings, from a recipe and the command line, to a file and back.

Every part of a model is chosen by the name of a class and that class's own arguments
(`--prior NAME --prior.argument VALUE`, `--prior.help NAME`), through jsonargparse.
"""

import argparse
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, Namespace

from pyro_vae._spelling import suggestion, with_current_options
from pyro_vae.data import Dataset, load
from pyro_vae.data.decisions import Decisions
from pyro_vae.experiments.fitting import fitted, usual
from pyro_vae.experiments.options import GROUPS, NAMES, OPTIONS, PASSING, SETTINGS, THE_TRAINING
from pyro_vae.experiments.parsing import Parser, PlainFormatter, class_name, first_look, imported
from pyro_vae.experiments.parts import (
    as_setting,
    classes,
    given_alone,
    other_classes,
    own_classes,
    parts,
    path_of,
)
from pyro_vae.experiments.saved_settings import with_configuration
from pyro_vae.experiments.trust import ConfigurationError
from pyro_vae.processes.group import first_then_all
from pyro_vae.recipes import AUTO, RECIPES, Recipe
from pyro_vae.recipes.recipe import MOST_EPOCHS_OF_FEW

#: Changes after which a loss on the source's scale would mean nothing.
INCOMPARABLE = {"prior", "likelihood", "latent_size", "pixels"}


@dataclass(frozen=True)
class Configuration:
    """All settings of a run.

    Attributes:
        recipe: the system, with every override applied.
        settings: everything as parsed: `data_dir`, `limit`, `seed`, `out`, ...
        text: what reproduces the run, as YAML.
        changed: the settings of the recipe that were overridden, by name.
        own: the dotted paths of the parts that are the user's own, by name.
        decisions: how the data are read, where that was decided before.
        size: (H, W) that other data are brought to, before they are padded.
        seen: the images, where the recipe was fitted to them.
        later: whether the data are given to a trained run, and need not be divided into parts.
    """

    recipe: Recipe
    settings: Namespace
    text: str
    changed: tuple[str, ...]
    own: Mapping[str, str] = field(default_factory=dict)
    decisions: Decisions | None = None
    size: tuple[int, int] | None = None
    seen: Dataset | None = None
    later: bool = False

    @property
    def part_names(self) -> dict[str, str]:
        """The name of the class of each part of the model and its training."""
        return {part: class_name(path_of(self.settings[part])) for part in parts()}

    def text_with(self, **settings: Any) -> str:
        """Return the text with settings that only the images decide."""
        return yaml.safe_dump(yaml.safe_load(self.text) | settings, sort_keys=False)

    def dataset(self) -> Dataset:
        """Load the run's images, sized, padded and binarized as its recipe says.

        Raises:
            DataError: they cannot be had, or are not as they should be.
        """
        if self.seen is not None:
            return self.seen
        recipe, settings = self.recipe, self.settings
        loaded = partial(
            load,
            recipe.data,
            data_dir=settings.data_dir,
            size=self.size or recipe.size,
            channels=recipe.channels,
            skip_corrupt=settings.skip_corrupt,
            divide=not self.later,
            stream=settings.stream,
            stretch=settings.stretch,
            ground=settings.ground,
            frames=settings.frames,
            decisions=self.decisions,
        )
        found = first_then_all(loaded).pad(recipe.padding)
        if recipe.pixels == "binarized-once" and not found.divided:
            return found.map(lambda part: part.binarized_once(settings.seed + 1))
        if recipe.pixels == "binarized-once":
            train, test, validation = found.train, found.test, found.validation
            return replace(  # Each with noise of its own.
                found,
                train=train.binarized_once(settings.seed),
                test=test.binarized_once(settings.seed + 1),
                validation=validation and validation.binarized_once(settings.seed + 2),
            )
        pixels = recipe.pixels
        return found.map(lambda part: part.with_pixels(pixels))


def parse(
    arguments: Sequence[str],
    description: str = "",
    program: str | None = None,
    *,
    exits: bool = True,
) -> Configuration:
    """Return a run's configuration from command-line arguments.

    Args:
        arguments: those after the program's name.
        description: of the program, for its help.
        program: how it was called, for its help and errors.
        exits: end the program on an error that names an option.

    Raises:
        ConfigurationError: there is no such recipe or part (it names the nearest), or a
            configuration file cannot be read or trusted.
        SystemExit: after the help, or an error that names the option.
        jsonargparse.ArgumentError: in place of that error, unless `exits`.
    """
    arguments, saved = with_configuration(with_current_options(arguments))
    recipe = choose_recipe(arguments, saved)
    check_parts(arguments)
    parsed = partial(_parsed, arguments, saved, description, program, exits)
    if recipe.name != AUTO or not _to_be_fitted(arguments, saved):
        return parsed(recipe)
    unfitted = parsed(recipe)
    images = unfitted.dataset()
    fitting = fitted(images, unfitted.settings.limit)
    if unfitted.settings.autoencoder:
        fitting = fitting.as_autoencoder()
    found = parsed(fitting.with_settings(data=unfitted.recipe.data))
    # Images that the recipe makes smaller are read anew.
    return replace(found, seen=images if found.recipe.size == unfitted.recipe.size else None)


def _to_be_fitted(arguments: Sequence[str], saved: Mapping[str, Any]) -> bool:
    """Return whether a recipe is yet to be fitted to its images.

    What a run has written down of it is complete; a run that is resumed has been fitted, too.
    """
    asked = first_look(arguments, (), ("help", "resume"))
    helps = asked.help or "-h" in arguments or any(".help" in each for each in arguments)
    return not (helps or asked.resume or {"encoder", "epochs"} <= saved.keys())


def _parsed(
    arguments: Sequence[str],
    saved: Mapping[str, Any],
    description: str,
    program: str | None,
    exits: bool,
    recipe: Recipe,
) -> Configuration:
    """Return the configuration of arguments, whose defaults are a recipe's."""
    # A part of another class starts from its own defaults, not from the arguments of the recipe's.
    others = other_classes(recipe, arguments, saved)
    reader = parser(recipe.with_settings(**others), description, program, exits=exits)
    settings = reader.read(arguments)
    # What `config` holds here is how its content was read.
    reader.check({name: settings[name] for name in (*SETTINGS, *OPTIONS) if name != "config"})
    settings.optimizer = given_alone(settings.optimizer)
    made = reader.instantiate(settings)
    made["optimizer"] = partial(
        imported(settings.optimizer.class_path), **vars(settings.optimizer.init_args)
    )
    defaults = reader.get_defaults()
    defaults["optimizer"] = given_alone(defaults["optimizer"])
    defaults["epochs"] = recipe.epochs if settings.epochs else None
    # What was chosen for the images of a run is not told apart from what was asked for.
    chosen_before = saved if recipe.name == AUTO else {}
    changed = tuple(
        name
        for name in SETTINGS
        if (name in others or settings[name] != defaults[name]) and name not in chosen_before
    )
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
        own=own_classes(settings),
    )


def read_configuration(path: Path, *arguments: str, trust: bool = False) -> Configuration:
    """Return the configuration saved in a `config.yaml`, overridden by `arguments`.

    Args:
        path: the file.
        arguments: of the command line.
        trust: import the user's own parts that the file names, and run their code.

    Raises:
        ConfigurationError: the file cannot be read or trusted, or holds what is not accepted.
        SystemExit: the arguments hold what is not accepted.
    """
    saved = [f"--config={path}", *["--trust"] * trust]
    if arguments:
        return parse([*saved, *arguments])
    try:
        return parse(saved, exits=False)
    except ArgumentError as error:
        raise ConfigurationError(f"{path}: {' '.join(str(error).split())}") from None


class Formatter(PlainFormatter, argparse.RawDescriptionHelpFormatter):
    """Help that names the classes of a part, and no default where there is none."""

    def _get_help_string(self, action: argparse.Action) -> str:
        each = SETTINGS.get(action.dest)
        if each is not None and each.part:
            default = class_name(action.default["class_path"])
            return f"{each.help}: {', '.join(classes(action.dest))} (default: {default})"
        if each is not None and each.choices and action.default is not None:
            return f"{each.help}: {', '.join(map(str, each.choices))} (default: {action.default})"
        if action.default is None or action.default is False:
            return action.help or ""
        if action.dest.endswith(".help"):
            return "the settings of the class NAME"
        return super()._get_help_string(action)


def parser(
    recipe: Recipe, description: str = "", program: str | None = None, *, exits: bool = True
) -> Parser:
    """Return a parser of every setting, whose defaults are a recipe's."""
    result = Parser(
        prog=program,
        description=description,
        usage="%(prog)s [IMAGES] [options]",
        allow_abbrev=False,
        formatter_class=Formatter,
        exit_on_error=exits,
    )
    groups = {title: result.add_argument_group(title) for title in GROUPS}
    # How often few images are seen depends on their number.
    defaults = {name: as_setting(getattr(recipe, name)) for name in SETTINGS} | {"epochs": None}
    defaults |= {name: each.default for name, each in OPTIONS.items()} | {"recipe": recipe.name}
    for name, each in (OPTIONS | SETTINGS).items():
        result.declare(
            each,
            groups[each.group or THE_TRAINING],
            defaults[name],
            each.help + (_default_epochs(recipe) if name == "epochs" else ""),
        )
    return result


def _default_epochs(recipe: Recipe) -> str:
    few = ""
    if recipe.least_steps:
        few = (
            f"; of few images as many as make {recipe.least_steps:,} steps, but at most "
            f"{MOST_EPOCHS_OF_FEW}"
        )
    return f" (default: {recipe.epochs}{few})"


def choose_recipe(arguments: Sequence[str], saved: dict[str, Any] | None = None) -> Recipe:
    """Return the recipe that is asked for, as published or as an autoencoder if so asked.

    Args:
        arguments: of the command line.
        saved: the settings of a configuration file, which arguments override.

    Raises:
        ConfigurationError: there is no such recipe; it names the nearest.
    """
    saved = saved or {}
    chosen = first_look(arguments, ("recipe", "data"), ("as-published", "autoencoder"))
    own = chosen.data is not None and not saved and not chosen.as_published
    name = chosen.recipe or saved.get("recipe") or (AUTO if own else next(iter(RECIPES)))
    if name not in NAMES:
        raise ConfigurationError(f"There is no recipe {name!r}. {suggestion(name, NAMES)}")
    recipe = usual() if name == AUTO else RECIPES[name]
    if chosen.as_published or saved.get("as_published"):
        if name == AUTO:
            raise ConfigurationError(
                f"--as-published: the recipe {AUTO} has not been published. Choose one that has "
                f"(--recipe): {', '.join(RECIPES)}."
            )
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
        ConfigurationError: it names the nearest.
    """
    named = first_look(arguments, [*parts(), *(f"{part}.help" for part in parts())])
    for option, name in vars(named).items():
        part = option.removesuffix(".help")
        known = classes(part)
        if name is not None and name not in known and "." not in name and name[:1] != "{":
            raise ConfigurationError(f"There is no {part} {name!r}. {suggestion(name, known)}")
