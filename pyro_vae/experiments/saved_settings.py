"""Saved settings: those of a configuration file, and of a run that another one starts from.

A file may come from anybody: what it cannot set, and code from outside the library, is refused.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from pyro_vae._program import repeated_with
from pyro_vae._settings import Setting
from pyro_vae._spelling import current, suggestion
from pyro_vae.experiments.data_record import kept_data, located
from pyro_vae.experiments.options import ASKED, NAMES, OPTIONS, SETTINGS, THE_DATA, THE_MODEL
from pyro_vae.experiments.parsing import first_look
from pyro_vae.experiments.parts import classes_in, factories, parts, without_replaced
from pyro_vae.experiments.trust import ConfigurationError, own_parts
from pyro_vae.training import Run
from pyro_vae.training.records import RunFileError, read_settings, shown

#: A comment before settings: the parser would open a file that is named like them, and no file has
#: a name as long as this.
_NO_PATH = "#" * 300 + "\n"
#: Settings, and arguments of classes, that earlier configurations lack, and what held for them.
_OF_THEIR_DAY = {"memory_format": "contiguous"}
_ARGUMENTS_OF_THEIR_DAY = {
    "pyro_vae.networks.ConvEncoder": {"initialization": "pytorch"},
    "pyro_vae.networks.ConvDecoder": {"initialization": "pytorch"},
}


def with_configuration(arguments: Sequence[str]) -> tuple[list[str], dict[str, Any]]:
    """Return the arguments after the content of `--config`, which they override, and that content.

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
    asked = classes_in(vars(first_look(arguments, parts())))
    kept = without_replaced(first, classes_in(saved) | asked)
    before = [_as_configuration(kept)] if kept else []
    if given.config is None:
        return [*before, *arguments], first
    content = _as_configuration(without_replaced(saved, asked))
    return [*before, content, *_without_configuration(arguments)], first | saved


def _without_configuration(arguments: Sequence[str]) -> list[str]:
    """Return the arguments without `--config` and its path.

    Raises:
        ConfigurationError: there are two; which one holds would be a guess.
    """
    places = [i for i, each in enumerate(arguments) if each.partition("=")[0] == "--config"]
    if len(places) > 1:
        raise ConfigurationError("--config is given twice: give one file, and options beside it.")
    after = places[0] + (1 if "=" in arguments[places[0]] else 2)
    return [*arguments[: places[0]], *arguments[after:]]


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


def _saved(path: Path, *, trust: bool) -> dict[str, Any]:
    """Return the settings in a file, in today's names, once all they name is known or trusted."""
    try:
        saved = current(read_settings(path))
    except (OSError, RunFileError) as error:
        raise ConfigurationError(f"The configuration {path} cannot be read: {error}") from None
    for name, value in saved.items():
        _check_saved(name, value, path)
    _check_trusted(saved, path, trust=trust)
    return _completed(saved)


def _completed(saved: Mapping[str, Any]) -> dict[str, Any]:
    """Return the settings of a run with those that it did not know of yet.

    A run writes all of its settings; what a person has left out of a file is the recipe's.
    """
    if "as_published" not in saved:
        return dict(saved)
    found = _OF_THEIR_DAY | dict(saved)
    for name, part in found.items():
        if isinstance(part, Mapping) and isinstance(part.get("init_args"), Mapping):
            of_their_day = _ARGUMENTS_OF_THEIR_DAY.get(str(part.get("class_path")), {})
            found[name] = {**part, "init_args": of_their_day | dict(part["init_args"])}
    return found


def _check_trusted(saved: Mapping[str, Any], path: Path, *, trust: bool) -> None:
    """Refuse settings from a file that name code from outside the library, unless it is trusted.

    Raises:
        ConfigurationError: it says what they name, and how to run it.
    """
    try:
        own = own_parts(saved, {part: factories(part) for part in parts()})
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
        return known[part] if part in parts() else None
    option = f"--{name.replace('_', '-')}"
    return next((each for each in known.values() if option in (each.option, *each.aliases)), None)


def _untrusted(path: Path, own: Mapping[str, str]) -> str:
    named = ", ".join(f"{shown(part)[1:-1]}: {shown(each)}" for part, each in own.items())
    again = repeated_with("--trust")
    remedy = f"repeat the command with --trust: `{again}`" if again else "pass trust=True"
    return f"{path} names code from outside this library, {named}. To run it, {remedy}."
