"""The settings of a training, each declared once, here.

`fit`, the recipes, the command line, `config.yaml`, the report and the reference take names, types,
defaults, bounds and help from this file. A new setting is declared here and used in the loop, and
nothing else changes.
"""

import inspect
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

from torch import Tensor
from torch.optim import Adam, Optimizer

from pyro_vae._settings import Settings, declared, made, setting
from pyro_vae._spelling import suggestion
from pyro_vae.annealing import Annealing, Constant
from pyro_vae.errors import ArgumentError
from pyro_vae.objectives import ELBO, Objective
from pyro_vae.schedules import OneCycle, Schedule
from pyro_vae.training.interval import Interval
from pyro_vae.training.layout import MemoryFormat
from pyro_vae.training.precision import Precision

Keep = Literal["best", "last"]
OnNaN = Literal["stop", "rollback"]


@dataclass(frozen=True, kw_only=True)
class TrainingSettings(Settings):
    """How a model is trained.

    A part (objective, annealing, schedule) is a class, a `functools.partial` of one, or an
    instance; an optimizer is a class of `torch.optim`, or a `partial` of one with its own
    arguments.

    Raises:
        ArgumentError: a setting is out of its bounds; it names the setting and what is accepted.

    Example:
        >>> settings = TrainingSettings(epochs=3, clip=10.0)
        >>> settings.epochs, settings.learning_rate, settings.optimizer.__name__
        (3, 0.001, 'Adam')
        >>> TrainingSettings(epochs=0)
        Traceback (most recent call last):
            ...
        pyro_vae.errors.ArgumentError: epochs must be a whole number, 1 or more, got 0.
    """

    objective: Callable[[], Objective] | Objective = setting(
        ELBO, "bound that is maximized", part=Objective
    )
    beta: float = setting(1.0, "weight of the rate, KL(q(z|x) || p(z))", at_least=0)
    annealing: Callable[[], Annealing] | Annealing = setting(
        Constant,
        "KL-annealing schedule: a factor of beta over the course of the training",
        part=Annealing,
    )
    epochs: int = setting(10, "number of passes over the training images", at_least=1)
    batch_size: int = setting(64, "number of images per step", at_least=1, at_most=10**6)
    optimizer: Callable[[Iterable[Tensor]], Optimizer] = setting(
        Adam, "optimizer, of torch.optim", part=Optimizer
    )
    learning_rate: float = setting(1e-3, "peak learning rate", above=0, aliases=("--lr",))
    epsilon: float = setting(
        1e-8, "epsilon of Adam and similar optimizers, for gradients in nats per image", above=0
    )
    clip: float | None = setting(
        None, "largest norm of the gradient: longer ones are scaled down to it", above=0
    )
    average: float | None = setting(
        None,
        "decay per step of an exponential moving average of the weights, which is then validated "
        "and kept in their place",
        above=0,
        below=1,
    )
    schedule: Callable[[], Schedule] | Schedule = setting(
        OneCycle, "schedule of the learning rate", part=Schedule
    )
    keep: Keep = setting(
        "best", "weights to keep, of the best epoch by validation loss or of the last"
    )
    new_draws: bool = setting(
        False, "draw new latent vectors for validation every epoch, not the same ones"
    )
    precision: Precision = setting(
        "float32",
        "precision of encoder and decoder; distributions and bounds remain in float32 (on NVIDIA "
        "GPUs since Ampere, PyTorch computes float32 convolutions in tf32, and with tf32 all "
        "matrix products as well)",
    )
    memory_format: MemoryFormat = setting(
        "contiguous",
        "layout of convolutional networks in memory; with channels_last, often faster on CPUs, "
        "results are equal to rounding",
    )
    compile: bool = setting(
        False,
        "compile encoder and decoder (torch.compile), which takes from seconds to minutes at the "
        "start; what cannot be compiled is run as it is",
    )
    checkpoint_every: str = setting(
        "5min", "how often a checkpoint is kept within an epoch: a time (90s, 5min, 1h), or steps"
    )
    on_nan: OnNaN = setting(
        "stop",
        "what follows a number that is not finite: an end, or the last checkpoint again at half "
        "the learning rate",
    )

    def __post_init__(self) -> None:
        super().__post_init__()
        Interval(self.checkpoint_every)

    def parts(self) -> tuple[Objective, Annealing, Schedule]:
        """Make the objective, the annealing and the schedule.

        Raises:
            ArgumentError: one is of another kind, or refuses its arguments.
        """
        found = []
        for name, kind in (("objective", Objective), ("annealing", None), ("schedule", Schedule)):
            try:
                part = made(getattr(self, name))
            except TypeError as error:
                raise ArgumentError(f"{name} cannot be made: {error}") from error
            # An annealing may be any function of the elapsed fraction.
            if not (callable(part) if kind is None else isinstance(part, kind)):
                wanted = declared(TrainingSettings)[name].accepted
                raise ArgumentError(
                    f"{name} must be a class or an instance of {wanted}, got {part!r}."
                )
            found.append(part)
        return found[0], found[1], found[2]

    @classmethod
    def of(cls, **settings: Any) -> "TrainingSettings":
        """Return settings by name; those that are None keep their default.

        Raises:
            ArgumentError: no setting has such a name; it names the nearest.
        """
        known = declared(TrainingSettings)
        for name in settings:
            if name not in known:
                raise ArgumentError(f"There is no setting {name!r}. {suggestion(name, known)}")
        return cls(**{name: value for name, value in settings.items() if value is not None})


def takes_settings(function: Callable[..., Any]) -> Callable[..., Any]:
    """Show the settings of a training in the signature of a function that takes `**settings`."""
    signature = inspect.signature(function)
    own = [each for each in signature.parameters.values() if each.kind is not each.VAR_KEYWORD]
    added = [
        inspect.Parameter(
            each.name, inspect.Parameter.KEYWORD_ONLY, default=each.default, annotation=each.type
        )
        for each in declared(TrainingSettings).values()
    ]
    function.__signature__ = signature.replace(parameters=[*own, *added])  # type: ignore[attr-defined]
    return function
