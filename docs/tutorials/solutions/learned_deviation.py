"""Learn the deviation s of a pixel together with the networks.

Minus the logarithm of a normal density is

    (x - m)^2 / (2 s^2) + log s + log(2 pi) / 2.

The first part alone is smallest for an infinite s. The second, once for each of the
64 pixels, is what keeps s from growing; the third is a constant. With it, s becomes
the root of the mean squared error of a pixel.
"""

import torch
from torch import nn

from pyro_vae import data

D, PIXELS = 2, 64
digits = data.load("digits")
x = digits.train.as_float(slice(None))


def train(with_log_s, epochs=40):
    """Return the learned deviation, and the root mean squared error of a pixel."""
    torch.manual_seed(0)
    encoder = nn.Sequential(
        nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 2 * D)
    )
    decoder = nn.Sequential(
        nn.Linear(D, 128),
        nn.ReLU(),
        nn.Linear(128, 64),
        nn.Sigmoid(),
        nn.Unflatten(1, (1, 8, 8)),
    )
    log_s = nn.Parameter(torch.tensor(0.2).log())
    parameters = [*encoder.parameters(), *decoder.parameters(), log_s]
    optimizer = torch.optim.Adam(parameters, lr=3e-3)
    for _ in range(epochs):
        squares = []
        for indices in torch.randperm(len(x)).split(64):
            batch = x[indices]
            mean, log_variance = encoder(batch).chunk(2, dim=-1)
            z = mean + (log_variance / 2).exp() * torch.randn_like(mean)
            squared = (decoder(z) - batch).square().sum((1, 2, 3))
            reconstruction = squared / (2 * (2 * log_s).exp())
            if with_log_s:
                reconstruction = reconstruction + PIXELS * log_s
            kl = 0.5 * (mean**2 + log_variance.exp() - 1 - log_variance).sum(-1)
            loss = (reconstruction + kl).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            squares.append(squared.detach())
    return log_s.exp().item(), (torch.cat(squares).mean() / PIXELS).sqrt().item()


deviation, error = train(with_log_s=True)
print(f"with log s:    s = {deviation:.3f}, root mean squared error {error:.3f}")
runaway, blurred = train(with_log_s=False)
print(f"without log s: s = {runaway:.3f}, root mean squared error {blurred:.3f}")
