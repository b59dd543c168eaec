"""Parts: the classes that a slot, a network, an objective or a schedule can be.

A part of another class than a recipe's, or a file's, starts from the defaults of its own.
"""

import contextlib
import inspect
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import yaml
from jsonargparse import Namespace

from pyro_vae.experiments.options import SETTINGS
from pyro_vae.experiments.parsing import first_look, imported
from pyro_vae.experiments.trust import ConfigurationError, library_factory
from pyro_vae.recipes import RECIPES, Recipe
from pyro_vae.training.optimizers import optimizers


def parts() -> list[str]:
    """Return the names of the settings that are parts."""
    return [name for name, each in SETTINGS.items() if each.part]


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


def factories(part: str) -> dict[str, Any]:
    """Return what may make a part without the user's trust: classes, and functions of recipes."""
    named = [getattr(recipe, part) for recipe in RECIPES.values()]
    named += [recipe.published.get(part) for recipe in RECIPES.values()]
    return classes(part) | {each.__name__: each for each in named if inspect.isfunction(each)}


def factory_of(value: Any) -> Any:
    """Return the class or function of a recipe's part, which may be a `partial` of it."""
    return value.func if isinstance(value, partial) else value


def as_setting(value: Any) -> Any:
    """Return a recipe's part, a class or a `partial` of one, as jsonargparse writes it."""
    factory = factory_of(value)
    if not inspect.isclass(factory):
        return value
    path = f"{factory.__module__}.{factory.__qualname__}"
    return {"class_path": path, "init_args": dict(getattr(value, "keywords", {}))}


def path_of(value: Any) -> str:
    """Return the dotted path of a part as parsed: a class with its arguments, or a function."""
    if isinstance(value, Namespace):
        return str(value.class_path)
    return f"{value.__module__}.{value.__qualname__}"


def own_classes(settings: Namespace) -> dict[str, str]:
    """Return the dotted paths of the parts that are not the library's, by name."""
    paths = {part: path_of(settings[part]) for part in parts()}
    return {p: path for p, path in paths.items() if library_factory(path, factories(p)) is None}


def other_classes(
    recipe: Recipe, arguments: Sequence[str], saved: Mapping[str, Any]
) -> dict[str, Any]:
    """Return what makes the parts of other classes than a recipe's that are asked for, by name."""
    found = {}
    for part, path in (
        classes_in(saved) | classes_in(vars(first_look(arguments, parts())))
    ).items():
        kind = factories(part).get(path)
        if kind is None:
            with contextlib.suppress(ImportError, AttributeError, ValueError):
                kind = imported(path)  # Otherwise the parser says what is wrong with it.
        known = inspect.isclass(kind) or kind in factories(part).values()
        if known and kind is not factory_of(getattr(recipe, part)):
            found[part] = kind
    return found


def classes_in(settings: Mapping[str, Any]) -> dict[str, str]:
    """Return the name or dotted path of the class of each part for which settings name one."""
    found = {}
    for part in parts():
        described = settings.get(part)
        if isinstance(described, str) and described.startswith("{"):
            with contextlib.suppress(yaml.YAMLError):  # The parser says what is wrong with it.
                described = yaml.safe_load(described)
        path = described.get("class_path") if isinstance(described, Mapping) else described
        if isinstance(path, str):
            found[part] = path
    return found


def without_replaced(saved: Mapping[str, Any], asked: Mapping[str, str]) -> dict[str, Any]:
    """Return settings without the parts in whose place other classes are asked for.

    Nothing is imported.
    """
    classes_before = classes_in(saved)
    replaced = {
        part
        for part in asked.keys() & classes_before.keys()
        if _canonical(part, asked[part]) != _canonical(part, classes_before[part])
    }
    return {name: value for name, value in saved.items() if name not in replaced}


def _canonical(part: str, path: str) -> Any:
    """Return what a name or dotted path names of the library's own, or else the path."""
    return library_factory(path, factories(part)) or path


def given_alone(optimizer: Namespace) -> Namespace:
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
