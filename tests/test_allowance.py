"""What is made within an allowance is bounded, before any memory is taken."""

import pytest
import torch

from pyro_vae._allowance import Allowance, TooLargeError

COLUMN = torch.ones(10**5, 1)
INDICES = torch.zeros(10**7, dtype=torch.long)

#: Each asks for 10**9 values or more.
LARGE = {
    "empty": lambda: torch.empty(10**5, 10**5),
    "a layer": lambda: torch.nn.Linear(10**5, 10**5),
    "a range": lambda: torch.arange(10**10),
    "a fine range": lambda: torch.arange(0.0, 1.0, 1e-10),
    "a line": lambda: torch.linspace(0, 1, 10**10),
    "an identity": lambda: torch.eye(10**5),
    "a diagonal": lambda: torch.diag_embed(COLUMN[:, 0]),
    "indices": lambda: torch.tril_indices(10**5, 10**5),
    "draws": lambda: torch.randn(10**5, 10**5),
    "like another": lambda: torch.zeros(0).new_zeros(10**10),
    "broadcast": lambda: COLUMN * COLUMN.T,
    "compared": lambda: COLUMN > COLUMN.T,
    "multiplied": lambda: COLUMN @ COLUMN.T,
    "outer": lambda: torch.outer(COLUMN[:, 0], COLUMN[:, 0]),
    "distances": lambda: torch.cdist(COLUMN, COLUMN),
    "repeated": lambda: COLUMN.repeat(1, 10**5),
    "interleaved": lambda: COLUMN.repeat_interleave(10**5, 1),
    "expanded": lambda: COLUMN.expand(-1, 10**5).contiguous(),
    "padded": lambda: torch.nn.functional.pad(COLUMN, (0, 10**5)),
    "stacked": lambda: torch.cat([COLUMN.expand(-1, 1000)] * 10),
    "selected": lambda: COLUMN.expand(-1, 100)[INDICES],
    "resized": lambda: torch.empty(1).resize_(10**10),
    "resized as another": lambda: torch.empty(1).resize_as_(COLUMN.expand(-1, 1000)),
    "a quasi-random sequence": lambda: torch.quasirandom.SobolEngine(1000).draw(10**7),
    "convolved": lambda: torch.nn.functional.conv2d(
        torch.ones(1, 1, 1, 1), torch.ones(1, 1, 1, 1), padding=5 * 10**4
    ),
}


@pytest.mark.parametrize("make", LARGE.values(), ids=LARGE)
def test_what_is_too_large_is_refused_before_it_is_made(make):
    with Allowance(10**7, 1000), pytest.raises(TooLargeError):
        make()


def test_small_things_count_together():
    with Allowance(10**7, 1000), pytest.raises(TooLargeError):
        for _ in range(10**4):
            torch.nn.Linear(1, 1)
    with Allowance(10**7, 1000), pytest.raises(TooLargeError):
        list(COLUMN)
    with Allowance(10**7, 1000), pytest.raises(TooLargeError):
        for _ in range(100):
            torch.empty(2 * 10**5)


def test_what_takes_no_memory_does_not_count():
    with Allowance(10**5, 10):
        made = torch.nn.init.normal_(torch.empty(100, 100))
        for _ in range(1000):
            made.add_(1).T.expand(2, -1, -1)
    assert made.mean() > 900


def test_results_are_what_they_are_without():
    def make():
        torch.manual_seed(0)
        layer = torch.nn.Linear(300, 400)
        return layer(torch.randn(500, 300)) @ layer.weight, torch.arange(0, 1, 0.1).nonzero()

    with Allowance(3 * 10**6, 100):
        found = make()
    assert all(map(torch.equal, found, make()))
