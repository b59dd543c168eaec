"""Errors: every one that the library raises on purpose is a `PyroVAEError`."""


class PyroVAEError(Exception):
    """The base class of every error that the library raises on purpose.

    Its message names the cause and the remedy. Each subclass is also of the built-in kind that
    fits it (`ValueError`, `TypeError`, `RuntimeError`), so that either may be caught.

    Example:
        >>> from pyro_vae import PyroVAEError, priors
        >>> try:
        ...     priors.Bernoulli(2, probability=1.5)
        ... except PyroVAEError as error:
        ...     print(error)
        Bernoulli: probability must be a number above 0 and below 1, got 1.5.
    """

    exit_code = 2
    """What a program returns that it ends: 2 where what was given is at fault, else 1."""


class ArgumentError(PyroVAEError, ValueError):
    """An argument has a value that is not accepted."""


class ArgumentTypeError(PyroVAEError, TypeError):
    """An argument is of a type that is not accepted."""


class StateError(PyroVAEError, RuntimeError):
    """Something was called before what it depends on was done."""


class UnsupportedError(PyroVAEError, NotImplementedError):
    """Something was asked for that the model cannot give, such as draws from a flat prior."""
