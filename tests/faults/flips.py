"""Single bits of checkpoints, flipped: what is loaded is what was saved, or nothing."""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from pyro_vae import checkpoints
from pyro_vae.checkpoints import CheckpointError

from .trainings import References, digest, require


def flips(references: References, count: int, rng: random.Random) -> Iterator[Counter]:
    """Flip `count` bits, one at a time, in a trained model and in the state of its training.

    Raises:
        Violation: another model was loaded, or another error raised than `CheckpointError`.
    """
    references["plain"]
    folder = references.folder_of("plain") / "model_weights"
    sound = {path: path.read_bytes() for path in (folder / "best_vae.pt", folder / "last.pt")}
    expected = {path: digest(checkpoints.contents(path)) for path in sound}
    target = references.folder / "flipped.pt"
    for trial in range(count):
        path = list(sound)[trial % 2]
        yield Counter({flipped(sound[path], expected[path], target, rng): 1})


def flipped(sound: bytes, expected: str, target: Path, rng: random.Random) -> str:
    """Flip a bit of a checkpoint, and return whether it was refused or harmless."""
    least = rng.choice((0, sound.index(b"PK\x01\x02")))  # Half of them in the list of records.
    bit = rng.randrange(8 * least, 8 * len(sound))
    content = bytearray(sound)
    content[bit // 8] ^= 1 << bit % 8
    target.write_bytes(content)
    try:
        found = checkpoints.contents(target)
    except CheckpointError:
        return "refused"
    except Exception as error:
        require(False, f"bit {bit}: {type(error).__name__}: {error}")
    require(digest(found) == expected, f"bit {bit} changes what is loaded")
    return "of no consequence"
