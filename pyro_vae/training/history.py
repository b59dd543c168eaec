"""The history of a training: a list of records that shows as a table."""

from tabulate import tabulate

from pyro_vae.training.totals import Record

#: Of more epochs than these, the first and the last are shown.
SHOWN = 20


class History(list[Record]):
    """The record of each epoch: a list of dictionaries, which `repr` and notebooks show as a table.

    Example:
        >>> history = History([{"epoch": 1, "train_loss": 3.5, "learning_rate": 1e-3}])
        >>> history
          epoch    train loss    learning rate
              1           3.5            0.001
        >>> history[0]["train_loss"]
        3.5
    """

    def __repr__(self) -> str:
        return self._table("plain") or "[]"

    def _repr_html_(self) -> str:
        return self._table("html")

    def _table(self, form: str) -> str:
        names = self._columns()
        half = SHOWN // 2
        rows = [[_number(record.get(name)) for name in names] for record in self]
        if len(rows) > SHOWN:
            rows = [*rows[:half], ["…"] * len(names), *rows[-half:]]
        headings = [name.replace("_", " ") for name in names]
        align = ["right"] * len(names)
        return tabulate(rows, headings, form, disable_numparse=True, colalign=align) if rows else ""

    def _columns(self) -> list[str]:
        """Return the numbers that are shown: the losses, the parts of the ELBO, rate and time."""
        known = {name for record in self for name in record}
        part = "validation" if "validation_loss" in known else "train"
        of_part = [f"{part}_{quantity}" for quantity in ("elbo", "distortion", "rate")]
        wanted = ["epoch", "train_loss", "validation_loss", *of_part, "learning_rate", "seconds"]
        return [name for name in wanted if name in known]


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.5g}"
