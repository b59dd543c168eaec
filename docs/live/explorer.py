"""Write what the explorer of the documentation shows, from a default run.

pyro-vae train --skip-pictures --out runs/default
python docs/live/explorer.py runs/default
"""

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pyro_vae._modes import evaluating
from pyro_vae.analysis.pages.explorer import explorer_contents
from pyro_vae.experiments import Experiment


def main(arguments: Sequence[str]) -> None:
    """Write `explorer.json` from the run folder that is named."""
    (folder,) = arguments
    experiment = Experiment.open(Path(folder))
    vae = experiment.load()
    with evaluating(vae):
        found = explorer_contents(vae, experiment.dataset.test, progress=True)
    text = json.dumps(found, separators=(",", ":"), ensure_ascii=False)
    Path(__file__).with_suffix(".json").write_text(text + "\n")
    print(f"{len(text):,} characters")


if __name__ == "__main__":
    main(sys.argv[1:])
