"""Parsing: a parser of options whose errors say in words what was wrong, and name the nearest."""

import argparse
import contextlib
import difflib
import inspect
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, Literal, NoReturn, get_args, get_origin

import yaml
from jsonargparse import ArgumentParser, DefaultHelpFormatter, Namespace
from jsonargparse.typing import NonNegativeInt, PositiveInt, import_object

from pyro_vae._arguments import accepted_by, hints_of
from pyro_vae._settings import Setting
from pyro_vae._spelling import suggestion
from pyro_vae._text import escaped, without_markup
from pyro_vae.errors import ArgumentError

Given = tuple[str, str]
"""An option, without its dashes, and its value."""


#: What a part is made with, by its name: the arguments that recipes give it.
MADE_WITH = {
    "prior": "latent_size",
    "likelihood": "decoder",
    "posterior": "encoder, latent_size",
    "encoder": "image_shape",
    "decoder": "latent_size, image_shape",
}
#: What options of these types take, in words.
_NUMBERS = {
    PositiveInt: "a whole number, 1 or more",
    NonNegativeInt: "a whole number, 0 or more",
    int: "a whole number",
    float: "a number",
}


class PlainFormatter(DefaultHelpFormatter):
    """Help without the markup of the docstrings that it is taken from."""

    def start_section(self, heading: str | None) -> None:
        """Begin the options of a class under the first line of its docstring."""
        super().start_section(heading and without_markup(heading))

    def _get_help_string(self, action: argparse.Action) -> str:
        return without_markup(super()._get_help_string(action) or "")


class Parser(ArgumentParser):
    """A parser whose errors name the nearest option, and the setting of a part that is wrong."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._declared: dict[str, Setting] = {}
        self._given: list[str] = []
        # What explains a single class is made by jsonargparse, with this class alone.
        super().__init__(*args, **{"formatter_class": PlainFormatter} | kwargs)

    def declare(self, each: Setting, group: Any, default: Any, help: str) -> None:
        """Add an option for a declared setting."""
        self._declared[each.name] = each
        if each.name == "config":
            group.add_argument(each.option, action="config", help=help)
        elif each.flag:
            group.add_argument(each.option, action="store_true", help=help)
        else:
            group.add_argument(
                each.option,
                *each.aliases,
                type=each.type | None if each.optional or default is None else each.type,
                default=default,
                metavar="NAME" if each.part else None,
                help=help,
            )

    def read(self, arguments: Sequence[str]) -> Namespace:
        """Return the settings of a command line.

        Raises:
            SystemExit: after the help, or an error that names the option.
        """
        self._given = list(arguments)
        try:
            return self.parse_args(self._given)
        except OverflowError:  # Of whole numbers, which Python bounds nowhere.
            self.error("a number is too large.")

    def check(self, values: Mapping[str, Any]) -> None:
        """End with an error that names the option, where a value is out of its bounds."""
        for name, value in values.items():
            each = self._declared[name]
            try:
                if value is not None:
                    each.check(value)
            except ArgumentError:
                self.error(f"{each.option} must be {each.accepted}, got {value}.")

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        """End with what is wrong in words of our own, where it can be found out."""
        super().error(escaped(self._diagnosis() or message, keep="\n\t"), *args, **kwargs)

    def _diagnosis(self) -> str | None:
        """Return what is wrong with the first bad option, by looking at each."""
        given = list(options_in([self._long(argument) for argument in self._given]))
        parts = {name: value for name, value in given if name in self._parts}
        for name, value in given:
            part, _, setting = name.partition(".")
            if part in self._parts and setting and setting != "help":
                found = self._of_part(part, setting, value, parts)
            elif self._knows(name):
                found = self._of_value(name, value)
            else:
                found = self._unknown(name)
            if found:
                return found
        return None

    @property
    def _parts(self) -> list[str]:
        return [name for name, each in self._declared.items() if each.part]

    def _options(self) -> list[str]:
        return [option for action in self._actions for option in action.option_strings]

    def _knows(self, name: str) -> bool:
        return f"--{name.replace('_', '-')}" in self._options() or f"--{name}" in self._options()

    def _unknown(self, name: str) -> str:
        near = difflib.get_close_matches(f"--{name}", self._options(), n=1)
        return f"There is no option --{name}." + (f" Did you mean {near[0]}?" if near else "")

    def _of_value(self, name: str, value: str) -> str | None:
        option = f"--{name.replace('_', '-')}"
        known = self._declared.values()
        each = next((each for each in known if option in (each.option, *each.aliases)), None)
        if each is None:
            return self._of_plain(option, value)
        if each.part:
            return _bad_class(name, each.part, value) if "." in value else None
        if each.flag or reads(each.type | None if each.optional else each.type, value):
            return None
        return f"{each.option} must be {each.accepted}, got {value or 'nothing'}."

    def _long(self, argument: str) -> str:
        """Return the long name of an option that was given by its letter."""
        action = self._option_string_actions.get(argument)
        return action.option_strings[0] if action else argument

    def _of_plain(self, option: str, value: str) -> str | None:
        """Return what is wrong with an option that is not a declared setting."""
        action = self._option_string_actions.get(option)
        kind = getattr(action, "_typehint", None) or getattr(action, "type", None)
        accepted = _words_of(kind)
        values = [value, *self._after(option)[1:]] if action and action.nargs else [value]
        bad = [each for each in values if not reads(kind, each)] if accepted else []
        return f"{option} must be {accepted}, got {bad[0] or 'nothing'}." if bad else None

    def _after(self, option: str) -> list[str]:
        """Return the values that follow an option."""
        found = self._given[self._given.index(option) + 1 :] if option in self._given else []
        return list(takewhile(lambda each: not each.startswith("--"), found))

    def _of_part(self, part: str, setting: str, value: str, parts: Mapping[str, str]) -> str | None:
        kind = self._class_of(part, parts.get(part))
        if kind is None:
            return None
        hints = hints_of(kind)
        settings = {
            parameter.name: hints[parameter.name]
            for parameter in inspect.signature(kind).parameters.values()
            if parameter.default is not parameter.empty  # The others are given by the recipe.
        }
        if setting not in settings:
            advice = suggestion(setting, settings) if settings else "It has none."
            return f"--{part}.{setting}: {kind.__name__} has no such setting. {advice}"
        if reads(settings[setting], value):
            return None
        accepted = accepted_by(kind, setting)
        return f"--{part}.{setting} of {kind.__name__} must be {accepted}, got {value}."

    def _class_of(self, part: str, name: str | None) -> type | None:
        """Return the class that is chosen for a part: by its name or path, or by default."""
        known = {each.__name__: each for each in _subclasses(self._declared[part].part)}
        if name in known:
            return known[name]
        path = name or self.get_defaults()[part]["class_path"]
        try:
            return imported(path)
        except (ImportError, AttributeError, ValueError):
            return None


def options_in(arguments: Sequence[str]) -> Iterator[Given]:
    """Yield the options of a command line with their values, those of `--config` first."""
    given = []
    for i, argument in enumerate(arguments):
        if argument.startswith("--"):
            name, equals, value = argument.removeprefix("--").partition("=")
            following = arguments[i + 1] if i + 1 < len(arguments) else ""
            given.append((name, value if equals else "" if following[:2] == "--" else following))
    for name, value in given:
        if name == "config":
            yield from _flat(yaml.safe_load(value))
    yield from (each for each in given if each[0] != "config")


def _flat(settings: Mapping[str, Any]) -> Iterator[Given]:
    for name, value in settings.items():
        if isinstance(value, Mapping) and "class_path" in value:
            yield name, str(value["class_path"])
            for argument, given in (value.get("init_args") or {}).items():
                yield (
                    f"{name}.{argument}",
                    yaml.safe_dump(given, default_flow_style=True).split("\n")[0],
                )
        elif value is not None:
            yield name, str(value)


def reads(kind: Any, value: str) -> bool:
    """Return whether a value can be read as a type, as jsonargparse reads it."""
    if kind is Any:
        return True
    reader = ArgumentParser(exit_on_error=False)
    reader.add_argument("--value", type=kind)
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            reader.parse_args([f"--value={value}"])
    except Exception:  # Whatever it raises, it could not read the value.
        return False
    return True


def imported(path: str) -> Any:
    """Return what a dotted path names."""
    return import_object(path)


def class_name(path: str) -> str:
    """Return the name of a class without its module."""
    return path.rpartition(".")[2]


def _words_of(kind: Any) -> str | None:
    """Return what is accepted of a number or a choice, in words; None of another type."""
    if type(None) in get_args(kind):
        kind = next(each for each in get_args(kind) if each is not type(None))
    if get_origin(kind) is Literal:
        return f"one of {', '.join(map(str, get_args(kind)))}"
    return _NUMBERS.get(kind)


def _bad_class(option: str, base: type, path: str) -> str | None:
    wanted = f"{base.__module__}.{base.__qualname__}"
    try:
        kind = imported(path)
    except (ImportError, AttributeError, ValueError) as error:
        problem = str(error)
    else:
        if inspect.isclass(kind) and issubclass(kind, base):
            return None
        made_with = f"; it is made with ({MADE_WITH[option]})" if option in MADE_WITH else ""
        problem = f"derive it from that class{made_with}"
    return f"--{option}: {path} cannot be used, it must be the path of a {wanted}: {problem}."


def _subclasses(base: type | None) -> Iterator[type]:
    children: list[type] = base.__subclasses__() if base else []
    for kind in children:
        yield kind
        yield from _subclasses(kind)


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
