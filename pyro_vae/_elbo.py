"""Pyro's two estimators of the ELBO, without waiting for the device.

Pyro reads the log-probability of every site as a Python number, and looks for NaN: on a GPU, each
of these waits until all work is done. The classes below return the same loss, bit for bit, with the
same gradients, and read nothing. Whether a loss is finite is for the caller to look at. Where
validation is off, the programs are run and scored without the copies that Pyro makes for it.
"""

from collections.abc import Callable, Iterator
from functools import reduce
from typing import Any

import torch
from pyro.distributions.util import is_identically_zero, scale_and_mask
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.elbo import ELBO
from pyro.infer.trace_elbo import _compute_log_r
from pyro.infer.util import check_fully_reparametrized, is_validation_enabled
from pyro.poutine import Trace
from pyro.poutine.messenger import Messenger, unwrap
from pyro.poutine.replay_messenger import ReplayMessenger
from pyro.poutine.trace_messenger import TraceMessenger
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import kl_divergence


class _Unread(ELBO):
    """What the two have in common: the loss, whose gradient is that of a surrogate."""

    num_particles: int
    _get_traces: Callable[..., Iterator[tuple[Any, Any]]]
    _differentiable_loss_particle: Callable[[Any, Any], tuple[Tensor, Tensor]]

    def _get_trace(self, model: Any, guide: Any, args: Any, kwargs: Any) -> tuple[Trace, Trace]:
        """Return the scored traces of both programs, the model's with the guide's draws."""
        if is_validation_enabled() or isinstance(unwrap(guide), Messenger):
            pyros: Any = super()
            traces: tuple[Trace, Trace] = pyros._get_trace(model, guide, args, kwargs)
            return traces
        with TraceMessenger() as drawn:
            guide(*args, **kwargs)
        with TraceMessenger() as replayed, ReplayMessenger(trace=drawn.trace):
            model(*args, **kwargs)
        for trace in (drawn.trace, replayed.trace):
            for name in [name for name, site in trace.nodes.items() if site_is_subsample(site)]:
                trace.remove_node(name)
        replayed.trace.compute_log_prob()
        drawn.trace.compute_score_parts()
        return replayed.trace, drawn.trace

    def differentiable_loss(self, model: Any, guide: Any, *args: Any, **kwargs: Any) -> Tensor:
        """Return an estimate of the negative ELBO, summed over the images, shape ()."""
        return self.loss_and_rates(model, guide, *args, **kwargs)[0]

    def loss_and_rates(
        self, model: Any, guide: Any, *args: Any, **kwargs: Any
    ) -> tuple[Tensor, Callable[[str], Tensor]]:
        """Return the same estimate, and how to have the rate at a site of its name.

        The rates are those that the estimate is made of, unweighted and without gradient: of each
        draw, or of each distribution where they are taken in closed form.
        """
        particles, traced = [], []
        for traces in self._get_traces(model, guide, args, kwargs):
            particles.append(self._differentiable_loss_particle(*traces))
            traced.append(traces)
        loss, surrogate = map(self._mean, zip(*particles, strict=True))

        def rates(name: str) -> Tensor:
            return torch.stack([_rate(m.nodes[name], g.nodes[name]) for m, g in traced])

        return loss.to(surrogate.dtype) + (surrogate - surrogate.detach()), rates

    def _mean(self, terms: tuple[Tensor, ...]) -> Tensor:
        """Return the mean over the particles, which may share one trace, in Pyro's order."""
        if self.num_particles == 1:
            return terms[0]
        return reduce(torch.add, [each / self.num_particles for each in terms])


class SampledELBO(_Unread, Trace_ELBO):
    """`Trace_ELBO`: the rate is estimated from draws."""

    def _differentiable_loss_particle(self, model: Any, guide: Any) -> tuple[Tensor, Tensor]:
        loss: Any = 0.0
        surrogate: Any = 0.0
        for site in _drawn(model).values():
            loss = loss - _exact(site["log_prob_sum"])
            surrogate = surrogate - site["log_prob_sum"]
        log_r = None
        for site in _drawn(guide).values():
            _, score_function, entropy = site["score_parts"]
            loss = loss + _exact(site["log_prob_sum"])
            if not is_identically_zero(entropy):
                same = entropy is site["log_prob"]  # Its sum is known already.
                surrogate = surrogate + (site["log_prob_sum"] if same else entropy.sum())
            if not is_identically_zero(score_function):
                log_r = _compute_log_r(model, guide) if log_r is None else log_r
                weight = log_r.sum_to(site["cond_indep_stack"])
                surrogate = surrogate - (weight * score_function).sum()
        return loss, surrogate


class AnalyticELBO(_Unread, TraceMeanField_ELBO):
    """`TraceMeanField_ELBO`: the rate is taken in closed form where there is one."""

    def _differentiable_loss_particle(self, model: Any, guide: Any) -> tuple[Tensor, Tensor]:
        loss: Any = 0.0
        of_model, of_guide = _drawn(model), _drawn(guide)
        for name, site in of_model.items():
            if site["is_observed"]:
                loss = loss - site["log_prob_sum"]
                continue
            check_fully_reparametrized(of_guide[name])
            try:
                loss = loss + _divergence(of_guide[name], site)
            except NotImplementedError:
                loss = (
                    loss - site["log_prob_sum"] + of_guide[name]["score_parts"].entropy_term.sum()
                )
        for name, site in of_guide.items():
            if name not in of_model:  # An auxiliary draw of the guide alone.
                check_fully_reparametrized(site)
                loss = loss + site["score_parts"].entropy_term.sum()
        return _exact(loss), loss


def _drawn(trace: Any) -> dict[str, dict[str, Any]]:
    """Return the sites at which a program draws or observes, by name."""
    return {name: site for name, site in trace.nodes.items() if site["type"] == "sample"}


def _divergence(guide: dict[str, Any], model: dict[str, Any]) -> Tensor:
    """Return KL(q || p) at a site, weighted as the program says, summed over its batch."""
    divergence: Any = kl_divergence(guide["fn"], model["fn"])
    if not isinstance(divergence, Tensor):  # That of a masked distribution is the number 0.
        divergence = guide["log_prob"].new_tensor(divergence)
    # One that does not vary over the batch counts for each of its elements.
    divergence = divergence.expand(guide["fn"].batch_shape)
    guide["divergence"] = divergence
    return scale_and_mask(divergence, guide["scale"], guide["mask"]).sum()


@torch.no_grad()
def _rate(model: dict[str, Any], guide: dict[str, Any]) -> Tensor:
    """Return KL(q || p) at a site as it was estimated, before any weight."""
    in_closed_form: Tensor | None = guide.get("divergence")
    if in_closed_form is not None:
        return in_closed_form
    from_draws: Tensor = guide["unscaled_log_prob"] - model["unscaled_log_prob"]
    return from_draws


def _exact(total: Tensor) -> Tensor:
    """Return a value in double precision, in which Pyro adds up, where the device has it."""
    return total.detach() if total.device.type == "mps" else total.detach().double()
