"""Options: every setting that the command line and a configuration file can have."""

from dataclasses import dataclass

from pyro_vae._settings import Setting, Settings, declared, setting
from pyro_vae.recipes import AUTO, RECIPES, Recipe

THE_RUN, THE_DATA, THE_TRAINING = "the run", "the data", "the training"
THE_MODEL = "the model"
GROUPS = (THE_RUN, THE_DATA, THE_MODEL, THE_TRAINING)


@dataclass(frozen=True, kw_only=True)
class RunOptions(Settings):
    """What a run is asked for besides the settings of its recipe."""

    recipe: str = setting(
        help=f"recipe to train: {AUTO}, which fits itself to the images and is the default for "
        f"images of your own, or {', '.join(RECIPES)}; `help` describes each",
        group=THE_RUN,
    )
    as_published: bool = setting(
        False, "train with the published settings", group=THE_RUN, flag=True
    )
    autoencoder: bool = setting(
        False, "train the plain autoencoder of the same shape", group=THE_RUN, flag=True
    )
    with_autoencoder: bool = setting(
        False, "train the plain autoencoder beside it, too", group=THE_RUN, flag=True
    )
    config: str | None = setting(None, "file of settings: a run's config.yaml", group=THE_RUN)
    out: str | None = setting(
        None, "run folder (default: runs/RECIPE, the next free one)", group=THE_RUN
    )
    resume: bool = setting(
        False,
        "continue the run in --out (default: the last one of --recipe, or of all)",
        group=THE_RUN,
        flag=True,
    )
    trust: bool = setting(
        False,
        "run the code of the user's own parts named in the configuration",
        group=THE_RUN,
        flag=True,
    )
    start_from: str | None = setting(
        None,
        "run folder whose weights to start from; its model and data are taken unless a recipe or "
        "others are given",
        group=THE_RUN,
    )
    skip_pictures: bool = setting(
        False, "draw nothing after the training; `analyze` draws later", group=THE_RUN, flag=True
    )
    device: str | None = setting(
        None, "cuda, mps or cpu (default: the best there is)", group=THE_RUN
    )
    seed: int = setting(
        0,
        "seed of the weights, the order and the draws",
        group=THE_RUN,
        at_least=0,
        below=2**32 - 1,
    )
    data_dir: str | None = setting(
        None,
        "folder where data sets are kept (default: PYRO_VAE_DATA, else data/)",
        group=THE_DATA,
    )
    skip_corrupt: bool = setting(
        False, "leave out image files that cannot be read", group=THE_DATA, flag=True
    )
    stream: bool | None = setting(
        None,
        "whether images stay in their files and are read batch by batch "
        "(default: those that would take more than half of the memory)",
        group=THE_DATA,
    )
    stretch: str | None = setting(
        None,
        "values that become black and white, LOW:HIGH, or `auto` for the range of all images "
        "(default: that of their type)",
        group=THE_DATA,
    )
    ground: str | None = setting(
        None,
        "what transparent images are put on: white, black or gray; `keep` leaves four channels "
        "(default: white, or what more is seen on)",
        group=THE_DATA,
    )
    frames: str | None = setting(
        None,
        "frames of a stack or film that are images: all or first (default: all)",
        group=THE_DATA,
    )
    limit: int | None = setting(
        None, "train on the first LIMIT images only", group=THE_DATA, at_least=1
    )


def _by_group(settings: dict[str, Setting]) -> dict[str, Setting]:
    place = {name: GROUPS.index(each.group or THE_TRAINING) for name, each in settings.items()}
    return {name: settings[name] for name in sorted(settings, key=place.__getitem__)}


#: Every setting of a recipe, by name, and every option beside them.
SETTINGS = _by_group(declared(Recipe))
OPTIONS = declared(RunOptions)
#: The names of all recipes.
NAMES = (AUTO, *RECIPES)
#: What only the command line can say.
ASKED = ("config", "out", "resume", "trust", "device")
#: What a run folder does not remember: where it is, and on what machine it ran.
PASSING = (*ASKED, "with_autoencoder", "skip_pictures")
