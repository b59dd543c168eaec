"""A benchmark peer: NumPyro, compiled, as its example of a VAE does.

The networks are JAX's own layers, channels last, as its convolutions are fastest.
"""

from typing import Any

import jax
import numpyro
import numpyro.distributions as dist
from jax import numpy as jnp
from jax.example_libraries import stax
from numpyro.infer import SVI, Trace_ELBO
from peers.task import LEARNING_RATE, Task, Turn


def networks(task: Task) -> tuple[Any, Any]:
    """Return encoder, which gives mean and scale, and decoder, which gives logits."""
    height, width = task.image_shape[1:]
    heads = stax.FanOut(2), stax.parallel(stax.Dense(2), stax.serial(stax.Dense(2), half_exp()))
    if task.network == "mlp":
        encoder = stax.serial(stax.Flatten, stax.Dense(512), stax.Relu, *heads)
        decoder = stax.serial(
            stax.Dense(512), stax.Relu, stax.Dense(height * width), reshape((height, width, 1))
        )
        return encoder, decoder
    down, up = [], []
    for channels in (32, 64, 128):
        down += [stax.Conv(channels, (3, 3), (2, 2), padding="SAME"), stax.Relu]
    for channels in (64, 32):
        up += [stax.ConvTranspose(channels, (3, 3), (2, 2), padding="SAME"), stax.Relu]
    small = (height // 8, width // 8, 128)
    encoder = stax.serial(*down, stax.Flatten, *heads)
    first = (stax.Dense(small[0] * small[1] * small[2]), reshape(small))
    last = stax.ConvTranspose(1, (3, 3), (2, 2), padding="SAME")
    return encoder, stax.serial(*first, *up, last)


def reshape(shape: tuple[int, ...]) -> Any:
    """Return a layer that gives each vector of a batch a shape."""

    def initialize(_: Any, before: tuple[int, ...]) -> Any:
        return (before[0], *shape), ()

    return initialize, lambda _, x, **__: x.reshape(len(x), *shape)


def half_exp() -> Any:
    """Return a layer that makes scales of log-variances."""
    return stax.elementwise(lambda x: jnp.exp(0.5 * x))


def train(task: Task, turn: Turn) -> None:
    """Train networks of the same size."""
    encoder, decoder = networks(task)
    images = jnp.asarray(task.padded().permute(0, 2, 3, 1).numpy())
    shape, steps = images.shape[1:], len(images) // task.batch_size

    def model(x: Any) -> None:
        decode = numpyro.module("decoder", decoder, (len(x), 2))
        with numpyro.plate("images", len(x)):
            prior = dist.Normal(jnp.zeros((len(x), 2)), jnp.ones((len(x), 2))).to_event(1)
            z = numpyro.sample("z", prior)
            logits = decode(z)
            # Its Bernoulli gives gray levels no probability.
            pixels = x * logits - jax.nn.softplus(logits)
            numpyro.factor("x", pixels.sum((1, 2, 3)))

    def guide(x: Any) -> None:
        encode = numpyro.module("encoder", encoder, (len(x), *shape))
        with numpyro.plate("images", len(x)):
            mean, scale = encode(x)
            numpyro.sample("z", dist.Normal(mean, scale).to_event(1))

    svi = SVI(model, guide, numpyro.optim.Adam(LEARNING_RATE), Trace_ELBO())
    key = jax.random.key(task.seed)
    state = svi.init(key, jnp.zeros((task.batch_size, *shape)))

    def step(state: Any, order: Any, i: Any) -> Any:
        indices = jax.lax.dynamic_slice_in_dim(order, i * task.batch_size, task.batch_size)
        return svi.update(state, images[indices].astype(jnp.float32) / 255)

    @jax.jit
    def whole_pass(state: Any, order: Any) -> Any:
        def following(i: int, carried: Any) -> Any:
            total, state = carried
            state, loss = step(state, order, i)
            return total + loss, state

        return jax.lax.fori_loop(0, steps, following, (0.0, state))

    one_step = jax.jit(step)

    def step_by_step(state: Any, order: Any) -> Any:
        total = 0.0
        for i in range(steps):
            state, loss = one_step(state, order, i)
            total += loss
        return total, state

    # Within a compiled loop, XLA's convolutions are more than ten times slower on a CPU.
    epoch = step_by_step if task.network == "conv" else whole_pass
    for _ in range(task.epochs):
        key, now = jax.random.split(key)
        total, state = epoch(state, jax.random.permutation(now, len(images)))
        turn(float(total) / (steps * task.batch_size))
