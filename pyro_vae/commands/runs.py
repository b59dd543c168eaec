"""The run that a command line names."""

from jsonargparse import Namespace

from pyro_vae.experiments import Experiment


def experiment_of(run: str, settings: Namespace) -> Experiment:
    """Open a run as the options of a command say that have to do with it: trust, and its images."""
    return Experiment.open(
        run,
        trust=settings.trust,
        data=settings.get("data"),
        skip_corrupt=settings.get("skip_corrupt", False),
    )
