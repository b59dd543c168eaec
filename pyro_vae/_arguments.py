"""Arguments that are checked against the annotations of their function, in one sentence.

    @checked
    def evaluate(vae: VAE, images: ImageData, *, samples: Natural = 0) -> Evaluation: ...

    evaluate: samples must be a whole number, 0 or more, got -1.

The annotation says what is accepted, once: a type, a `Literal`, or one of the aliases below. A
class whose base is `Checked` has the arguments of its constructor checked. In classes and functions
from outside this library only plain numbers, texts and the aliases are checked.
"""

import difflib
import functools
import inspect
import math
from collections.abc import Callable, Iterable, Mapping, Sequence, Sized
from dataclasses import dataclass
from inspect import Parameter, Signature, isclass
from numbers import Integral, Real
from types import NoneType, UnionType
from typing import (
    Annotated,
    Any,
    Literal,
    NamedTuple,
    ParamSpec,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

import numpy as np
import torch
from torch import Tensor, nn

from pyro_vae._settings import bounded, in_words
from pyro_vae.errors import ArgumentError, ArgumentTypeError

P = ParamSpec("P")
R = TypeVar("R")

PACKAGE = __name__.split(".")[0]


class Refusal(NamedTuple):
    """Why a value is not accepted: the kind of error, and what would be accepted."""

    error: type[ArgumentError] | type[ArgumentTypeError]
    accepted: str


@dataclass(frozen=True, repr=False)
class Check:
    """What an argument must be.

    Attributes:
        accepted: in words.
        refuse: returns why a value is not accepted, or None if it is.
    """

    accepted: str
    refuse: Callable[[Any], Refusal | None]

    def __repr__(self) -> str:
        return self.accepted  # The help of the command line shows it.


@dataclass(frozen=True, repr=False)
class Bounds:
    """The bounds of a number; each is optional.

    Attributes:
        at_least: the smallest number accepted.
        above: the number that values must exceed.
        below: the number that values must stay below.
        at_most: the largest number accepted.
        limit: the largest number that makes sense, named only where it is exceeded.
    """

    at_least: float | None = None
    above: float | None = None
    below: float | None = None
    at_most: float | None = None
    limit: float = 1e30

    @property
    def limits(self) -> list[tuple[str, float]]:
        """What numbers must satisfy, such as [(">", 0)]."""
        each = ((">=", self.at_least), (">", self.above), ("<", self.below), ("<=", self.at_most))
        return [(sign, limit) for sign, limit in each if limit is not None]

    def __repr__(self) -> str:
        return in_words("", self.limits).lstrip(", ") or "finite"


#: The largest size of a layer, and the largest of any count.
LARGEST_SIZE, LARGEST_COUNT = 10**6, 10**9

Number = Annotated[float, Bounds()]
"""A finite number."""
Positive = Annotated[float, Bounds(above=0)]
NonNegative = Annotated[float, Bounds(at_least=0)]
Fraction = Annotated[float, Bounds(at_least=0, at_most=1)]
"""A number in [0, 1]."""
PositiveFraction = Annotated[float, Bounds(above=0, at_most=1)]
"""A number in (0, 1]."""
OpenFraction = Annotated[float, Bounds(above=0, below=1)]
"""A number in (0, 1)."""
Natural = Annotated[int, Bounds(at_least=0, limit=LARGEST_COUNT)]
Count = Annotated[int, Bounds(at_least=1, limit=LARGEST_COUNT)]
Size = Annotated[int, Bounds(at_least=1, limit=LARGEST_SIZE)]
"""The size of a layer or of a latent vector."""
Depth = Annotated[int, Bounds(at_least=1, limit=1000)]
"""A number of layers or transforms."""
SphereSize = Annotated[int, Bounds(at_least=2, limit=LARGEST_SIZE)]
"""A number of coordinates in which there is a sphere."""
Seed = Annotated[int, Bounds(at_least=0, limit=2**32 - 1)]


class Checked:
    """A class whose constructor's arguments are checked before it is called."""

    def __new__(cls, *args: Any, **kwargs: Any) -> Self:
        constructor_arguments(cls, args, kwargs)
        return super().__new__(cls)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return super().__reduce_ex__(1)  # A copy is made without `__new__`, and its arguments.


def checked(function: Callable[P, R]) -> Callable[P, R]:
    """Check the arguments of a function or method at every call."""
    name = function.__name__

    @functools.wraps(function)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        signature, checks = _read(function)
        owner = name
        if args and next(iter(signature.parameters), None) == "self":
            kind = type(args[0]).__name__
            owner = kind if name == "__init__" else f"{kind}.{name}"
        _check(owner, checks, _bound(owner, signature, args, kwargs))
        return function(*args, **kwargs)

    return call


def constructor_arguments(
    kind: type, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a constructor by name, checked.

    Raises:
        ArgumentError: a value is not accepted; it names the argument and what is accepted.
        ArgumentTypeError: an argument is of another type, unknown or missing.
    """
    constructor: Any = inspect.getattr_static(kind, "__init__")
    signature, checks = _read(constructor)
    old_names = getattr(constructor, "old_names", {})
    kwargs = {old_names.get(name, name): value for name, value in kwargs.items()}
    bound = _bound(kind.__name__, signature, (None, *args), kwargs)
    arguments = dict(list(bound.items())[1:])
    _check(kind.__name__, checks, arguments)
    return arguments


def check_argument(owner: str, name: str, value: Any, hint: Any) -> None:
    """Check one argument against an annotation.

    Raises:
        ArgumentError: the value is not accepted.
        ArgumentTypeError: it is of another type.
    """
    check = _check_of(hint, own=True)
    if check is not None and (refusal := check.refuse(value)):
        raise refused(owner, name, value, refusal)


def hints_of(function: Callable[..., Any], include_extras: bool = False) -> dict[str, Any]:
    """Return the annotations of a function, or of the constructor of a class, by argument.

    Args:
        function: the function or the class.
        include_extras: keep what `Annotated` says beside the types.
    """
    annotated = inspect.getattr_static(function, "__init__") if isclass(function) else function
    hints = get_type_hints(annotated, include_extras=include_extras)
    return {name: hints.get(name, Any) for name in inspect.signature(function).parameters}


def accepted_by(function: Callable[..., Any], argument: str) -> str:
    """Return what a function, or the constructor of a class, takes for an argument, in words."""
    hint = hints_of(function, include_extras=True)[argument]
    check = _check_of(hint, own=True)
    return check.accepted if check else inspect.formatannotation(hint).replace("typing.", "")


def refused(owner: str, name: str, value: Any, refusal: Refusal) -> Exception:
    """Return the error that names an argument, what is accepted and what was given."""
    return refusal.error(f"{owner}: {name} must be {refusal.accepted}, got {in_short(value)}.")


def in_short(value: Any) -> str:
    """Return a value as an error message shows it, in few words."""
    if isinstance(value, Tensor):
        what = f"a tensor of shape {tuple(value.shape)}, {value.dtype}"
        strange = value.is_floating_point() and not bool(value.detach().isfinite().all())
        return f"{what}, with values that are not finite" if strange else what
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}, {value.dtype}"
    if isclass(value):
        return f"the class {value.__name__}"
    if isinstance(value, Integral) and abs(int(value)).bit_length() > 256:
        return f"a number of {int(value).bit_length()} bits"
    if isinstance(value, Real):
        return str(value)
    if value is None or isinstance(value, str | bytes | list | tuple | dict | set):
        text = repr(value)
        return text if len(text) <= 80 else f"{text[:77]}..."
    empty = isinstance(value, Sized) and not len(value)
    return f"{type(value).__name__} of length 0" if empty else type(value).__name__


# ------------------------------------------------------------------------------- signatures


@functools.lru_cache(maxsize=1024)
def _read(function: Callable[..., Any]) -> tuple[Signature, dict[str, Check]]:
    """Return a function's signature, and the checks of its parameters."""
    signature = inspect.signature(function)
    try:
        hints = get_type_hints(inspect.unwrap(function), include_extras=True)
    except Exception:  # The annotations of a user's own function need not be resolvable.
        hints = {}
    own = function.__module__.partition(".")[0] == PACKAGE
    checks = {}
    for name, parameter in signature.parameters.items():
        plain = parameter.kind not in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD)
        if plain and name in hints and (check := _check_of(hints[name], own)):
            checks[name] = _or_default(check, parameter.default)
    return signature, checks


def _or_default(check: Check, default: Any) -> Check:
    """Also accept the default, whatever the annotation says of it."""
    return Check(check.accepted, lambda value: None if value is default else check.refuse(value))


def _bound(
    owner: str, signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]
) -> dict[str, Any]:
    """Return the arguments of a call by name.

    Raises:
        ArgumentTypeError: one is unknown, missing, or given twice, or there are too many.
    """
    try:
        return dict(signature.bind(*args, **kwargs).arguments)
    except TypeError as error:
        reason = _misfit(signature, args, kwargs) or f": {error}"
        raise ArgumentTypeError(f"{owner}{reason}") from None


def _misfit(signature: Signature, args: Sequence[Any], kwargs: Mapping[str, Any]) -> str | None:
    """Return why arguments do not fit a signature."""
    parameters = {name: each for name, each in signature.parameters.items() if name != "self"}
    args = args[len(signature.parameters) - len(parameters) :]
    kinds = {each.kind for each in parameters.values()}
    known = [name for name, each in parameters.items() if each.kind != Parameter.VAR_KEYWORD]
    listed = f"Known: {', '.join(known)}." if known else "It has none."
    for name in kwargs if Parameter.VAR_KEYWORD not in kinds else ():
        if name not in parameters:
            near = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
            hint = f"Did you mean {near[0]!r}? " if near else ""
            return f" has no argument {name!r}. {hint}{listed}"
    positional = [name for name in known if parameters[name].kind != Parameter.KEYWORD_ONLY]
    if Parameter.VAR_POSITIONAL not in kinds and len(args) > len(positional):
        return f" takes {len(positional)} arguments by position, got {len(args)}. {listed}"
    given = positional[: len(args)]
    for name in given:
        if name in kwargs:
            return f": {name} is given twice, by position and by name."
    missing = [
        name
        for name in known
        if parameters[name].default is Parameter.empty
        and parameters[name].kind != Parameter.VAR_POSITIONAL
        and name not in given
        and name not in kwargs
    ]
    return f" needs the argument {missing[0]!r}. {listed}" if missing else None


def _check(owner: str, checks: Mapping[str, Check], arguments: Mapping[str, Any]) -> None:
    for name, value in arguments.items():
        if name in checks and (refusal := checks[name].refuse(value)):
            raise refused(owner, name, value, refusal)


# ------------------------------------------------------------------------------- annotations


def _check_of(hint: Any, own: bool) -> Check | None:
    """Return the check that an annotation stands for; None where it says nothing to check.

    Args:
        hint: the annotation.
        own: whether it is one of this library's own functions, of which more is checked.
    """
    origin, options = get_origin(hint), get_args(hint)
    if origin is Annotated:
        for note in hint.__metadata__:
            if isinstance(note, Check):
                return note
            if isinstance(note, Bounds):
                return _number(options[0], note)
        return _check_of(options[0], own)
    if hint in (int, float):
        return _number(hint, None)
    if hint in (bool, str):
        return _instance(hint, {bool: "true or false", str: "text"}[hint])
    if hint in (None, NoneType):
        return _instance(NoneType, "None")
    if origin is Literal:
        return _literal(options)
    if origin in (Union, UnionType):
        return _union([_check_of(option, own) for option in options])
    return _own_check_of(hint, origin, options) if own else None


def _own_check_of(hint: Any, origin: Any, options: tuple[Any, ...]) -> Check | None:
    if hint is Any or isinstance(hint, TypeVar):
        return None
    if is_typeddict(hint):
        return _instance(Mapping, "a mapping")
    if origin is Callable or hint is Callable:
        return Check("callable", _refuse_uncallable)
    if origin is tuple and options[-1:] != (Ellipsis,):
        return fixed(*(_check_of(option, True) for option in options))
    if origin in (Sequence, list, tuple):
        return sequence(_check_of(options[0], True))
    kind = origin or hint
    if not isclass(kind):
        return None
    names = {Tensor: "a tensor", np.ndarray: "a NumPy array", Mapping: "a mapping"}
    return _instance(kind, names.get(kind, f"an instance of {kind.__name__}"))


def _instance(kind: type, accepted: str) -> Check:
    refusal = Refusal(ArgumentTypeError, accepted)
    return Check(accepted, lambda value: None if isinstance(value, kind) else refusal)


def _number(kind: type, bounds: Bounds | None) -> Check:
    """Return the check of a number; without bounds, of any number, finite or not."""
    noun = "a whole number" if kind is int else "a number"
    limits = bounds.limits if bounds else []
    accepted = in_words(noun, limits)

    def refuse(value: Any) -> Refusal | None:
        number = _as_number(value, kind)
        if number is None:
            return Refusal(ArgumentTypeError, accepted)
        if bounds is None:
            return None
        if not bounded(number, limits):
            return Refusal(ArgumentError, accepted)
        if abs(number) > bounds.limit:
            limit = bounds.limit
            most = f"{limit:,}" if isinstance(limit, int) else f"{limit:g}"
            return Refusal(ArgumentError, f"{noun} of at most {most}")
        return None

    return Check(accepted, refuse)


def _as_number(value: Any, kind: type) -> int | float | None:
    """Return a number, NumPy's included, as Python's; None if it is not one of its kind."""
    if isinstance(value, bool):
        return None
    if isinstance(value, Integral):
        return int(value)
    if kind is int:
        return None
    if isinstance(value, Tensor) and value.ndim == 0 and not value.is_complex():
        return None if value.dtype == torch.bool else value.item()
    try:
        return float(value) if isinstance(value, Real) else None
    except OverflowError:
        return math.inf


def _literal(choices: Sequence[Any]) -> Check:
    kinds = tuple({type(choice) for choice in choices})
    accepted = f"one of {', '.join(map(str, choices))}"

    def refuse(value: Any) -> Refusal | None:
        if not isinstance(value, kinds) or isinstance(value, bool) > (bool in kinds):
            return Refusal(ArgumentTypeError, accepted)
        return None if value in choices else Refusal(ArgumentError, accepted)

    return Check(accepted, refuse)


def _union(options: Sequence[Check | None]) -> Check | None:
    checks = [option for option in options if option is not None]
    if len(checks) < len(options):  # One of them says nothing: any value may be of that kind.
        return None

    def refuse(value: Any) -> Refusal | None:
        refusals = [check.refuse(value) for check in checks]
        found = [refusal for refusal in refusals if refusal is not None]
        if len(found) < len(refusals):
            return None
        errors = {refusal.error for refusal in found}
        error = ArgumentError if ArgumentError in errors else ArgumentTypeError
        return Refusal(error, _either(refusal.accepted for refusal in found))

    return Check(_either(check.accepted for check in checks), refuse)


def _either(accepted: Iterable[str]) -> str:
    options = list(accepted)
    return (", or " if any("," in each for each in options) else " or ").join(options)


def _refuse_uncallable(value: Any) -> Refusal | None:
    if isclass(value) and issubclass(value, nn.Module):
        return Refusal(ArgumentTypeError, "an instance, not a class")
    return None if callable(value) else Refusal(ArgumentTypeError, "callable")


def items_of(value: Any) -> list[Any] | None:
    """Return the items of a sequence, or of a vector of NumPy's or torch's; None of others."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return list(value)
    if isinstance(value, Tensor | np.ndarray) and value.ndim == 1:
        return value.tolist()
    return None


def sequence(item: Check | None, at_least: int = 0) -> Check:
    """Return the check of a sequence of any length, each of whose items is checked."""
    kind = "a sequence of one or more" if at_least else "a sequence"
    accepted = f"{kind}, each {item.accepted}" if item else kind

    def refuse(value: Any) -> Refusal | None:
        items = items_of(value)
        if items is None:
            return Refusal(ArgumentTypeError, accepted)
        if len(items) < at_least:
            return Refusal(ArgumentError, accepted)
        refusals = (item.refuse(each) for each in items) if item else iter(())
        first = next((refusal for refusal in refusals if refusal), None)
        return first and Refusal(first.error, f"{kind}, each {first.accepted}")

    return Check(accepted, refuse)


def fixed(*items: Check | None, accepted: str = "") -> Check:
    """Return the check of a sequence with one item for each check."""
    words = [item.accepted if item else "anything" for item in items]
    accepted = accepted or f"a sequence of {len(items)}: {'; '.join(words)}"

    def refuse(value: Any) -> Refusal | None:
        given = items_of(value)
        if given is None:
            return Refusal(ArgumentTypeError, accepted)
        if len(given) != len(items):
            return Refusal(ArgumentError, accepted)
        pairs = zip(items, given, strict=True)
        refusals = [item.refuse(each) for item, each in pairs if item]
        first = next((refusal for refusal in refusals if refusal), None)
        return first and Refusal(first.error, accepted)

    return Check(accepted, refuse)


def _image_shape() -> Check:
    check = fixed(
        *[_number(int, Bounds(at_least=1))] * 3,
        accepted="three whole numbers (C, H, W), each 1 or more",
    )

    def refuse(value: Any) -> Refusal | None:
        if refusal := check.refuse(value):
            return refusal
        if math.prod(items_of(value) or ()) > LARGEST_COUNT:
            return Refusal(ArgumentError, f"(C, H, W) of at most {LARGEST_COUNT:,} values")
        return None

    return Check(check.accepted, refuse)


def filled(kind: type) -> Check:
    """Return the check of an instance of a class that has a length, which must not be 0."""
    accepted = f"{kind.__name__} of length 1 or more"

    def refuse(value: Any) -> Refusal | None:
        if not isinstance(value, kind):
            return Refusal(ArgumentTypeError, accepted)
        return None if len(value) else Refusal(ArgumentError, accepted)  # type: ignore[arg-type]

    return Check(accepted, refuse)


def floats(shape: str) -> Check:
    """Return the check of a tensor of finite floats that is not empty.

    Args:
        shape: its shape in words, such as "(N, D)"; "(..., D)" accepts any leading dimensions.
    """
    names = shape.strip("(,)").split(", ")
    leading, least = names[0] == "...", len(names) - (names[0] == "...")
    accepted = f"a tensor {shape} of finite floats"

    def refuse(value: Any) -> Refusal | None:
        if not isinstance(value, Tensor) or not value.is_floating_point():
            return Refusal(ArgumentTypeError, accepted)
        fits = value.ndim >= least if leading else value.ndim == least
        if fits and value.numel() and bool(value.detach().isfinite().all()):
            return None
        return Refusal(ArgumentError, accepted)

    return Check(accepted, refuse)


ImageShape = Annotated[tuple[int, int, int], _image_shape()]
"""The shape (C, H, W) of an image."""
Sizes = Annotated[Sequence[int], sequence(_number(int, Bounds(at_least=1, limit=LARGEST_SIZE)), 1)]
"""One or more sizes of layers."""
Images = Annotated[Tensor, floats("(B, C, H, W)")]
Batch = Annotated[Tensor, floats("(..., C, H, W)")]
Latents = Annotated[Tensor, floats("(..., D)")]
Codes = Annotated[Tensor, floats("(N, D)")]
Vector = Annotated[Tensor, floats("(N,)")]
