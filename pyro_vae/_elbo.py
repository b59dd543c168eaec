"""Pyro's two estimators of the ELBO, without waiting for the device.

Pyro reads the log-probability of every site as a Python number, and looks for NaN: on a GPU, each
of these waits until all work is done. The classes below return the same loss, bit for bit, with the
same gradients, and read nothing. Whether a loss is finite is for the caller to look at.
"""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from pyro.distributions.util import is_identically_zero, scale_and_mask
from pyro.infer import Trace_ELBO, TraceMeanField_ELBO
from pyro.infer.trace_elbo import _compute_log_r
from pyro.infer.util import check_fully_reparametrized
from torch import Tensor
from torch.distributions import kl_divergence


class _Unread:
    """What the two have in common: the loss, whose gradient is that of a surrogate."""

    num_particles: int
    _get_traces: Callable[..., Iterator[tuple[Any, Any]]]
    _differentiable_loss_particle: Callable[[Any, Any], tuple[Tensor, Tensor]]

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
        loss: Any = 0.0
        surrogate: Any = 0.0
        traced = []
        for traces in self._get_traces(model, guide, args, kwargs):
            one, surrogate_one = self._differentiable_loss_particle(*traces)
            loss = loss + one / self.num_particles
            surrogate = surrogate + surrogate_one / self.num_particles
            traced.append(traces)

        def rates(name: str) -> Tensor:
            return torch.stack([_rate(m.nodes[name], g.nodes[name]) for m, g in traced])

        return loss.to(surrogate.dtype) + (surrogate - surrogate.detach()), rates


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
                surrogate = surrogate + entropy.sum()
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
