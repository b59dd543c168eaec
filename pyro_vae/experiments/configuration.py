"""Configuration: a run's settings, from a recipe and the command line, to a file and back.

Every part of a model is chosen by the name of a class and that class's own arguments
(`--prior NAME --prior.argument VALUE`, `--prior.help NAME`), through jsonargparse.
"""

import argparse
import contextlib
import inspect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import yaml
from jsonargparse import ArgumentError, Namespace

from pyro_vae._program import repeated_with
from pyro_vae._settings import Setting, Settings, declared, setting
from pyro_vae._spelling import current, suggestion, with_current_options
from pyro_vae.data import Dataset, load
from pyro_vae.data.decisions import Decisions
from pyro_vae.experiments.data_record import kept_data, located
from pyro_vae.experiments.fitting import fitted, usual
from pyro_vae.experiments.parsing import Parser, PlainFormatter, class_name, imported
from pyro_vae.experiments.trust import ConfigurationError, library_factory, own_parts
from pyro_vae.processes import first_then_all
from pyro_vae.recipes import AUTO, RECIPES, Recipe
from pyro_vae.recipes.recipe import MOST_EPOCHS_OF_FEW
from pyro_vae.training import Run
from pyro_vae.training.optimizers import optimizers
from pyro_vae.training.records import RunFileError, read_settings, shown

THE_RUN, THE_DATA, THE_TRAINING = "the run", "the data", "the training"
THE_MODEL = "the model"
GROUPS = (THE_RUN, THE_DATA, THE_MODEL, THE_TRAINING)


@dataclass(frozen=True, kw_only=True)
class RunOptions(Settings):
    """What a run is asked for besides the settings of its recipe."""

    recipe: str = setting(
        help=f"recipe to train: {AUTO}, which fits itself to the images and is the default for "
        f"images of your own, or {', '.join(RECIPES)}; `help` describes each",
        group=THE_RUN,
    )
    as_published: bool = setting(
        False, "train with the published settings", group=THE_RUN, flag=True
    )
    autoencoder: bool = setting(
        False, "train the plain autoencoder of the same shape", group=THE_RUN, flag=True
    )
    with_autoencoder: bool = setting(
        False, "train the plain autoencoder beside it, too", group=THE_RUN, flag=True
    )
    config: str | None = setting(None, "file of settings: a run's config.yaml", group=THE_RUN)
    out: str | None = setting(
        None, "run folder (default: runs/RECIPE, the next free one)", group=THE_RUN
    )
    resume: bool = setting(
        False,
        "continue the run in --out (default: the last one of --recipe, or of all)",
        group=THE_RUN,
        flag=True,
    )
    trust: bool = setting(
        False,
        "run the code of the user's own parts named in the configuration",
        group=THE_RUN,
        flag=True,
    )
    start_from: str | None = setting(
        None,
        "run folder whose weights to start from; its model and data are taken unless a recipe or "
        "others are given",
        group=THE_RUN,
    )
    skip_pictures: bool = setting(
        False, "draw nothing after the training; `analyze` draws later", group=THE_RUN, flag=True
    )
    device: str | None = setting(
        None, "cuda, mps or cpu (default: the best there is)", group=THE_RUN
    )
    seed: int = setting(
        0,
        "seed of the weights, the order and the draws",
        group=THE_RUN,
        at_least=0,
        below=2**32 - 1,
    )
    data_dir: str | None = setting(
        None,
        "folder where data sets are kept (default: PYRO_VAE_DATA, else data/)",
        group=THE_DATA,
    )
    skip_corrupt: bool = setting(
        False, "leave out image files that cannot be read", group=THE_DATA, flag=True
    )
    stream: bool | None = setting(
        None,
        "whether images stay in their files and are read batch by batch "
        "(default: those that would take more than half of the memory)",
        group=THE_DATA,
    )
    stretch: str | None = setting(
        None,
        "values that become black and white, LOW:HIGH, or `auto` for the range of all images "
        "(default: that of their type)",
        group=THE_DATA,
    )
    ground: str | None = setting(
        None,
        "what transparent images are put on: white, black or gray; `keep` leaves four channels "
        "(default: white, or what more is seen on)",
        group=THE_DATA,
    )
    frames: str | None = setting(
        None,
        "frames of a stack or film that are images: all or first (default: all)",
        group=THE_DATA,
    )
    limit: int | None = setting(
        None, "train on the first LIMIT images only", group=THE_DATA, at_least=1
    )


def _by_group(settings: dict[str, Setting]) -> dict[str, Setting]:
    place = {name: GROUPS.index(each.group or THE_TRAINING) for name, each in settings.items()}
    return {name: settings[name] for name in sorted(settings, key=place.__getitem__)}


#: Every setting of a recipe, by name, and every option beside them.
SETTINGS = _by_group(declared(Recipe))
OPTIONS = declared(RunOptions)
#: The names of all recipes.
NAMES = (AUTO, *RECIPES)
#: Changes after which a loss on the source's scale would mean nothing.
INCOMPARABLE = {"prior", "likelihood", "latent_size", "pixels"}
#: A comment before settings: the parser would open a file that is named like them, and no file has
#: a name as long as this.
_NO_PATH = "#" * 300 + "\n"
#: What only the command line can say.
ASKED = ("config", "out", "resume", "trust", "device")
#: What a run folder does not remember: where it is, and on what machine it ran.
PASSING = (*ASKED, "with_autoencoder", "skip_pictures")


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
        return {part: class_name(_path_of(self.settings[part])) for part in _parts()}

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
    arguments, saved = _with_configuration(with_current_options(arguments))
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
    others = _other_classes(recipe, arguments, saved)
    reader = parser(recipe.with_settings(**others), description, program, exits=exits)
    settings = reader.read(arguments)
    # What `config` holds here is how its content was read.
    reader.check({name: settings[name] for name in (*SETTINGS, *OPTIONS) if name != "config"})
    settings.optimizer = _given_alone(settings.optimizer)
    made = reader.instantiate(settings)
    made["optimizer"] = partial(
        imported(settings.optimizer.class_path), **vars(settings.optimizer.init_args)
    )
    defaults = reader.get_defaults()
    defaults["optimizer"] = _given_alone(defaults["optimizer"])
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
        own=_own(settings),
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
    parts = [name for name, each in SETTINGS.items() if each.part]
    named = first_look(arguments, [*parts, *(f"{part}.help" for part in parts)])
    for option, name in vars(named).items():
        part = option.removesuffix(".help")
        known = classes(part)
        if name is not None and name not in known and "." not in name and name[:1] != "{":
            raise ConfigurationError(f"There is no {part} {name!r}. {suggestion(name, known)}")


def classes(part: str) -> dict[str, type]:
    """Return the classes for a part of a model ("prior", "encoder", ...), by name."""
    base = SETTINGS[part].part
    if base is None:
        raise ConfigurationError(f"{part} cannot be chosen by class.")
    if part == "optimizer":
        return dict(optimizers())
    found: dict[str, type] = {}
    todo = list(base.__subclasses__())
    while todo:
        kind = todo.pop()
        todo += kind.__subclasses__()
        if kind.__module__.startswith("pyro_vae.") and not kind.__name__.startswith("_"):
            found[kind.__name__] = kind
    return dict(sorted(found.items()))


def as_setting(value: Any) -> Any:
    """Return a recipe's part, a class or a `partial` of one, as jsonargparse writes it."""
    factory = _factory(value)
    if not inspect.isclass(factory):
        return value
    path = f"{factory.__module__}.{factory.__qualname__}"
    return {"class_path": path, "init_args": dict(getattr(value, "keywords", {}))}


def _factory(value: Any) -> Any:
    """Return the class or function of a recipe's part, which may be a `partial` of it."""
    return value.func if isinstance(value, partial) else value


def _other_classes(
    recipe: Recipe, arguments: Sequence[str], saved: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what makes the parts of other classes than a recipe's that are asked for, by name."""
    found = {}
    for part, path in (
        _classes_in(saved) | _classes_in(vars(first_look(arguments, _parts())))
    ).items():
        kind = _factories(part).get(path)
        if kind is None:
            with contextlib.suppress(ImportError, AttributeError, ValueError):
                kind = imported(path)  # Otherwise the parser says what is wrong with it.
        known = inspect.isclass(kind) or kind in _factories(part).values()
        if known and kind is not _factory(getattr(recipe, part)):
            found[part] = kind
    return found


def _classes_in(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the name or dotted path of the class of each part for which settings name one."""
    found = {}
    for part in _parts():
        described = settings.get(part)
        if isinstance(described, str) and described.startswith("{"):
            with contextlib.suppress(yaml.YAMLError):  # The parser says what is wrong with it.
                described = yaml.safe_load(described)
        path = described.get("class_path") if isinstance(described, Mapping) else described
        if isinstance(path, str):
            found[part] = path
    return found


def _without_replaced(saved: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """Return settings without the parts in whose place other classes are asked for.

    Nothing is imported.
    """
    classes_before = _classes_in(saved)
    replaced = {
        part
        for part in asked.keys() & classes_before.keys()
        if _canonical(part, asked[part]) != _canonical(part, classes_before[part])
    }
    return {name: value for name, value in saved.items() if name not in replaced}


def _canonical(part: str, path: str) -> Any:
    """Return what a name or dotted path names of the library's own, or else the path."""
    return library_factory(path, _factories(part)) or path


def _given_alone(optimizer: Namespace) -> Namespace:
    """Return an optimizer's settings without those that are torch's own defaults."""
    given = optimizer.clone()
    kind = imported(given.class_path)
    defaults = {name: each.default for name, each in inspect.signature(kind).parameters.items()}
    given.class_path = f"{kind.__module__}.{kind.__qualname__}"  # One of several paths to it.
    arguments = vars(given.get("init_args") or Namespace())
    given.init_args = Namespace(
        {name: value for name, value in arguments.items() if value != defaults.get(name)}
    )
    return given


def _own(settings: Namespace) -> dict[str, str]:
    """Return the dotted paths of the parts that are not the library's, by name."""
    paths = {part: _path_of(settings[part]) for part in _parts()}
    return {p: path for p, path in paths.items() if library_factory(path, _factories(p)) is None}


def _path_of(value: Any) -> str:
    """Return the dotted path of a part as parsed: a class with its arguments, or a function."""
    if isinstance(value, Namespace):
        return str(value.class_path)
    return f"{value.__module__}.{value.__qualname__}"


def _parts() -> list[str]:
    return [name for name, each in SETTINGS.items() if each.part]


def _factories(part: str) -> dict[str, Any]:
    """Return what may make a part without the user's trust: classes, and functions of recipes."""
    named = [getattr(recipe, part) for recipe in RECIPES.values()]
    named += [recipe.published.get(part) for recipe in RECIPES.values()]
    return classes(part) | {each.__name__: each for each in named if inspect.isfunction(each)}


def _with_configuration(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the arguments with the content of `--config` in place of its path, and that content.

    In today's names: what earlier versions saved is read like any other.
    """
    given = first_look(arguments, ("config", "start-from", "recipe"), ("trust", "resume"))
    if given.start_from not in (None, "null") and not given.resume:
        named = given.recipe is not None or given.config is not None
        first = _taken_over(Path(given.start_from), THE_DATA, *[THE_MODEL] * (not named))
        _check_trusted(first, Path(given.start_from) / "config.yaml", trust=given.trust)
    else:
        first = {}
    saved = {} if given.config is None else _saved(Path(given.config), trust=given.trust)
    # The arguments of a class do not pass to another that is asked for later.
    asked = _classes_in(vars(first_look(arguments, _parts())))
    kept = _without_replaced(first, _classes_in(saved) | asked)
    before = [_as_configuration(kept)] if kept else []
    if given.config is None:
        return [*before, *arguments], first
    content = _as_configuration(_without_replaced(saved, asked))
    replaced, skip = before, False
    for argument in arguments:
        if skip:
            skip = False
        elif argument == "--config":
            replaced.append(content)
            skip = True
        else:
            replaced.append(content if argument.startswith("--config=") else argument)
    return replaced, first | saved


def _as_configuration(saved: Mapping[str, Any]) -> str:
    """Return settings as an argument of the command line."""
    return f"--config={_NO_PATH}{yaml.safe_dump(dict(saved), sort_keys=False)}"


def _taken_over(folder: Path, *groups: str) -> dict[str, Any]:
    """Return the settings of a run that one that starts from its weights takes over.

    None where the folder holds no run: this is said where its weights are read.
    """
    run = Run(folder)
    try:
        saved = current(read_settings(run.configuration))
    except (OSError, RunFileError):
        return {}
    known = SETTINGS | OPTIONS
    found = {
        name: value
        for name, value in saved.items()
        if name in known and (known[name].group in groups or name == "recipe")
    }
    if THE_MODEL not in groups:
        found.pop("recipe", None)
    for name, value in found.items():
        _check_saved(name, value, run.configuration)
    if isinstance(found.get("data"), str):
        found["data"] = located(found["data"], run, kept_data(run))
    return found


def first_look(
    arguments: Sequence[str], options: Iterable[str], flags: Iterable[str] = ()
) -> argparse.Namespace:
    """Take a first look at a few options, before the parser that they decide upon is made."""
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for option in options:
        first.add_argument(f"--{option}")
    for flag in flags:
        first.add_argument(f"--{flag}", action="store_true")
    return first.parse_known_args(list(arguments))[0]


def _saved(path: Path, *, trust: bool) -> dict[str, Any]:
    """Return the settings in a file, in today's names, once all they name is known or trusted."""
    try:
        saved = current(read_settings(path))
    except (OSError, RunFileError) as error:
        raise ConfigurationError(f"The configuration {path} cannot be read: {error}") from None
    for name, value in saved.items():
        _check_saved(name, value, path)
    _check_trusted(saved, path, trust=trust)
    return saved


def _check_trusted(saved: Mapping[str, Any], path: Path, *, trust: bool) -> None:
    """Refuse settings from a file that name code from outside the library, unless it is trusted.

    Raises:
        ConfigurationError: it says what they name, and how to run it.
    """
    try:
        own = own_parts(saved, {part: _factories(part) for part in _parts()})
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    if own and not trust:
        raise ConfigurationError(_untrusted(path, own))


def _check_saved(name: str, value: Any, path: Path) -> None:
    """Refuse what a file cannot set.

    Raises:
        ConfigurationError: it names the file and the setting.
    """
    known = _setting_of(name)
    if known is None:
        names = [*SETTINGS, *(option for option in OPTIONS if option not in ASKED)]
        raise ConfigurationError(
            f"{path}: There is no setting {shown(name)}. {suggestion(name, names)}"
        )
    if known.name in ASKED:
        raise ConfigurationError(
            f"{path}: {name} is no setting of a file: remove it there, and give {known.option} on "
            "the command line."
        )
    if known.name == "recipe" and not isinstance(value, str):
        raise ConfigurationError(f"{path}: {name}: {shown(value)} is not a setting and its value.")
    if known.name == "recipe" and value not in NAMES:
        raise ConfigurationError(
            f"{path}: There is no recipe {shown(value)}. {suggestion(value, NAMES)}"
        )
    if value is None and not (known.optional or known.name == "epochs"):
        raise ConfigurationError(f"{path}: {name} must be {known.accepted}, got nothing.")


def _setting_of(name: str) -> Setting | None:
    """Return the setting that a name in a file is for: its own, an alias, or that of a part."""
    part, dot, _ = name.partition(".")
    known = SETTINGS | OPTIONS
    if dot:
        return known[part] if part in _parts() else None
    option = f"--{name.replace('_', '-')}"
    return next((each for each in known.values() if option in (each.option, *each.aliases)), None)


def _untrusted(path: Path, own: Mapping[str, str]) -> str:
    named = ", ".join(f"{shown(part)[1:-1]}: {shown(each)}" for part, each in own.items())
    again = repeated_with("--trust")
    remedy = f"repeat the command with --trust: `{again}`" if again else "pass trust=True"
    return f"{path} names code from outside this library, {named}. To run it, {remedy}."
