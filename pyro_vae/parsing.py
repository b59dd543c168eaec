"""Parsing: a parser of options whose errors say in words what was wrong, and name the nearest."""

import difflib
import inspect
import re
from collections.abc import Iterable
from typing import Any, NoReturn

from jsonargparse import ArgumentParser
from jsonargparse.typing import import_object

UNKNOWN_SETTING = re.compile(
    r'Parser key "(?P<part>\w+)":.*?'
    r"Option '(?P<setting>[\w.]+)' is not accepted.*?class_path='(?P<path>[\w.]+)'",
    re.DOTALL,
)
BAD_VALUE = re.compile(
    r'Parser key "(?P<part>\w+)":\s*Type .*?Parser key "(?P<setting>[\w.]+)":\s*'
    r"(?P<problem>.*?)\. Got value: (?P<value>.*?)\. Got value: .*?class_path='(?P<path>[\w.]+)'",
    re.DOTALL,
)
BAD_NUMBER = re.compile(r'Parser key "(?P<setting>\w+)":.*?Not of type (?P<kind>\w+)', re.DOTALL)
NUMBERS = {
    "PositiveInt": "a whole number, 1 or more",
    "NonNegativeInt": "a whole number, 0 or more",
    "PositiveFloat": "a number above 0",
    "NonNegativeFloat": "a number, 0 or more",
}
BAD_PART = re.compile(
    r'Parser key "(?P<part>\w+)":\s*Type .*?(?P<base>[\w.]+)\] expects a function or a '
    r"callable class: (?P<problem>.*?)\.+ Got value: (?:Namespace\(class_path=')?(?P<value>[\w.]+)",
    re.DOTALL,
)


class Parser(ArgumentParser):
    """A parser whose errors name the nearest option, and the setting of a part that is wrong."""

    def error(self, message: str, *args: Any, **kwargs: Any) -> NoReturn:
        super().error(self._plain(message), *args, **kwargs)

    def _plain(self, message: str) -> str:
        if found := UNKNOWN_SETTING.search(message):
            return _unknown_setting(**found.groupdict())
        if found := BAD_VALUE.search(message):
            return _bad_value(**found.groupdict())
        if found := BAD_PART.search(message):
            return _bad_part(**found.groupdict())
        if (found := BAD_NUMBER.search(message)) and found["kind"] in NUMBERS:
            return f"--{found['setting'].replace('_', '-')} must be {NUMBERS[found['kind']]}."
        known = [option for action in self._actions for option in action.option_strings]
        for word in message.replace(",", " ").split():
            if word.startswith("--") and word.split("=")[0] not in known:
                near = difflib.get_close_matches(word.split("=")[0], known, n=1)
                message += f"\n  Did you mean {near[0]}?" if near else ""
        return message


def nearest(name: str, known: Iterable[str]) -> str:
    """A sentence that names the nearest of the known names, and all of them."""
    known = list(known)
    lower = {each.lower(): each for each in known}
    near = difflib.get_close_matches(name.lower(), lower, n=1, cutoff=0.5)
    return (f"Did you mean {lower[near[0]]}? " if near else "") + f"Known: {', '.join(known)}."


def _unknown_setting(part: str, setting: str, path: str) -> str:
    settings = [
        parameter.name
        for parameter in inspect.signature(import_object(path)).parameters.values()
        if parameter.default is not parameter.empty  # The others are given by the recipe.
    ]
    advice = nearest(setting, settings) if settings else "It has none."
    return f"--{part}.{setting}: {_class_name(path)} has no such setting. {advice}"


def _bad_value(part: str, setting: str, problem: str, value: str, path: str) -> str:
    expected = re.sub(r"<class '([\w.]+)'>|typing\.", r"\1", problem).replace("Expected a ", "")
    return f"--{part}.{setting} of {_class_name(path)} must be {expected}, got {value}."


def _bad_part(part: str, base: str, problem: str, value: str) -> str:
    return f"--{part}: {value} cannot be used, it must be the path of a {base}: {problem}."


def _class_name(path: str) -> str:
    return path.rpartition(".")[2]
