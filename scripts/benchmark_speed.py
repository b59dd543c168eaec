"""Compare how fast this library and its peers train the same model, in turn.

    pip install -e '.[benchmark]'
    python scripts/benchmark.py speed
    python scripts/benchmark.py speed --network mlp --threads 1 --rounds 9

Every peer trains the same networks (those of system 1, or of system 4) with the same loss, the
negative ELBO of a Bernoulli likelihood, each as its own documentation advises. Each has a process
of its own on the same cores, and they take turns, a pass over the images each; the first pass,
which compiles and fills caches, is counted apart. Peers that are not installed are left out.

The floors say what the machine allows at most: the arithmetic of a step (multiplications and
additions, counted) at the speed of a large matrix product, and the bytes that a step must move
(activations, and weights with their gradients and moments) at the speed of a large copy.

The script prints tables in Markdown, and writes them and all numbers to `--out`.
"""

import importlib
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from importlib import metadata
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal, get_args

from jsonargparse.typing import NonNegativeInt, PositiveInt
from tqdm import tqdm

from pyro_vae._files import write_json, write_text
from pyro_vae.errors import PyroVAEError
from pyro_vae.experiments.configuration import Formatter
from pyro_vae.experiments.parsing import Parser

Network = Literal["conv", "mlp"]

#: Name, the module of `peers` and its function, and the packages that it compares.
PEERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "pyro_vae": ("ours", "train", ()),
    "pyro_vae, channels last": ("ours", "channels_last", ()),
    "pyro_vae, channels last, bfloat16": ("ours", "fast", ()),
    "PyTorch, our data path": ("in_memory", "train", ()),
    "PyTorch, our data path, channels last": ("in_memory", "channels_last", ()),
    "PyTorch, as published": ("published_loop", "train", ("torchvision",)),
    "Pyro": ("pyro_svi", "train", ("pyro-ppl",)),
    "NumPyro": ("numpyro_svi", "train", ("numpyro", "jax")),
    "Pythae": ("pythae_trainer", "train", ("pythae",)),
    "pyroVED": ("pyroved_trainer", "train", ("pyroved",)),
}


class PeerError(PyroVAEError):
    """A peer ended early."""


@dataclass(frozen=True)
class Measured:
    """What one peer's training gave.

    Attributes:
        peer: its name.
        versions: those of its packages.
        first: seconds of the first pass, and of all that comes before.
        seconds: those of each later pass.
        loss: the mean negative ELBO over the last pass, in nats per image.
        memory: the largest resident memory, in MiB.
    """

    peer: str
    versions: str
    first: float
    seconds: list[float]
    loss: float
    memory: float

    def images_a_second(self, images: int) -> float:
        """Return the median over the passes."""
        return images / statistics.median(self.seconds)


@dataclass(frozen=True)
class Floors:
    """What the machine allows at most.

    Attributes:
        operations: multiplications and additions of a step, per image.
        bytes: the bytes that a step must move, per image.
        operations_a_second: those of a matrix product.
        bytes_a_second: those of a copy, read and written.
    """

    operations: float
    bytes: float
    operations_a_second: float
    bytes_a_second: float

    @property
    def arithmetic(self) -> float:
        """Images a second, were arithmetic all."""
        return self.operations_a_second / self.operations

    @property
    def memory(self) -> float:
        """Images a second, were moving bytes all."""
        return self.bytes_a_second / self.bytes


def work(peer: str, task_of: dict[str, Any], threads: int, line: Connection) -> None:
    """Train a peer in this process, a pass whenever the other side asks for one."""
    confine(threads)
    from peers.task import Task

    module, function, _ = PEERS[peer]
    levels = images_of(task_of.pop("data"), task_of.pop("data_dir"), task_of.pop("images"))

    def turn(loss: float) -> None:
        line.send((loss, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024))
        line.recv()

    with suppress(EOFError):  # The other side has what it wanted.
        line.recv()
        getattr(importlib.import_module(f"peers.{module}"), function)(Task(levels, **task_of), turn)


def confine(threads: int) -> None:
    """Keep this process to the first cores, before any library counts them."""
    os.environ["OMP_NUM_THREADS"] = str(threads)
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    import torch

    from pyro_vae._memory import keep_freed_memory

    torch.set_num_threads(threads)
    keep_freed_memory()


def images_of(data: str, data_dir: str | None, count: int) -> Any:
    """Return levels (N, 1, 28, 28) of a data set's training images."""
    from pyro_vae.data import load

    return load(data, data_dir, size=28, channels=1).train.levels(slice(0, count))


def floors(task_of: dict[str, Any], threads: int) -> Floors:
    """Count a step of plain PyTorch, and measure a matrix product and a copy."""
    confine(threads)
    import torch
    from peers.task import Task, negative_elbo
    from torch.utils.flop_counter import FlopCounterMode

    task_of = {key: value for key, value in task_of.items() if key not in ("data", "data_dir")}
    count = task_of.pop("images")
    size = min(task_of["batch_size"], count)
    task = Task(torch.zeros(size, 1, 28, 28, dtype=torch.uint8), **task_of)
    net, moved = task.net(), [0]

    def see(module: torch.nn.Module, _: Any, output: torch.Tensor) -> None:
        moved[0] += output.numel() if not list(module.children()) else 0

    for module in net.modules():
        module.register_forward_hook(see)
    with FlopCounterMode(display=False) as counter:
        negative_elbo(net, task.padded().float() / 255).backward()
    weights = sum(each.numel() for each in net.parameters())
    # An activation is written and read forward, and so is its gradient backward. A weight, its two
    # moments and its gradient are read and written.
    numbers = 4 * moved[0] + 8 * weights
    side = torch.randn(1536, 1536)
    product = median_seconds(lambda: side @ side)
    large = torch.randn(2**25)
    there = torch.empty_like(large)
    copy = median_seconds(lambda: there.copy_(large))
    return Floors(
        operations=counter.get_total_flops() / size,
        bytes=4 * numbers / size,
        operations_a_second=2 * 1536**3 / product,
        bytes_a_second=2 * 4 * large.numel() / copy,
    )


def median_seconds(call: Callable[[], object], times: int = 9) -> float:
    """Return the median time of a call, after a first one."""
    call()
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        call()
        taken.append(time.perf_counter() - start)
    return statistics.median(taken)


def compare(
    peers: Sequence[str], task_of: dict[str, Any], threads: int, rounds: int
) -> list[Measured]:
    """Train all peers in turn, and return what each took."""
    spawn, lines, found = get_context("spawn"), {}, {}
    with ExitStack() as ended:
        for peer in peers:
            here, there = spawn.Pipe()
            settings = {**task_of, "epochs": rounds + 1}
            process = spawn.Process(target=work, args=(peer, settings, threads, there), daemon=True)
            process.start()
            ended.callback(end, here, process)
            there.close()
            lines[peer] = (here, process)
        for number in tqdm(range(rounds + 1), "rounds"):
            # Each begins a round in its turn, so that none always follows the same one.
            start = number % len(peers)
            for peer in [*peers[start:], *peers[:start]]:
                seconds, loss, memory = one_pass(peer, *lines[peer])
                if number == 0:
                    found[peer] = Measured(peer, versions(peer), seconds, [], loss, memory)
                    continue
                found[peer].seconds.append(seconds)
                found[peer] = replace(found[peer], loss=loss, memory=memory)
    return list(found.values())


def end(line: Connection, process: BaseProcess) -> None:
    """End a peer's process."""
    line.close()
    process.join(timeout=10)
    process.kill()


def one_pass(peer: str, line: Connection, process: BaseProcess) -> tuple[float, float, float]:
    """Let a peer make a pass; return its seconds, loss and memory.

    Raises:
        PeerError: it ended instead.
    """
    start = time.perf_counter()
    line.send("go")
    try:
        loss, memory = line.recv()
    except EOFError:
        process.join()
        raise PeerError(f"{peer} ended (exit code {process.exitcode}): see above.") from None
    return time.perf_counter() - start, loss, memory


def versions(peer: str) -> str:
    """Return the versions of a peer's packages."""
    return ", ".join(f"{name} {metadata.version(name)}" for name in PEERS[peer][2])


def installed(peers: Sequence[str]) -> list[str]:
    """Return the peers whose packages are there, and say which are not."""
    result = []
    for peer in peers:
        try:
            versions(peer)
        except metadata.PackageNotFoundError as error:
            print(f"{peer} is left out: {error.name} is not installed.", file=sys.stderr)
        else:
            result.append(peer)
    return result


def table(found: Sequence[Measured], images: int) -> str:
    """Return a Markdown table: a row for each peer, with ratios to the first."""
    first = found[0].images_a_second(images)
    lines = [
        f"| | images/s | slowest, fastest | {found[0].peer} is faster by | first pass, s "
        "| peak memory, MiB | loss |",
        "|---|--:|--:|--:|--:|--:|--:|",
    ]
    for each in found:
        rates = sorted(images / seconds for seconds in each.seconds)
        name = each.peer + f" ({each.versions})" * bool(each.versions)
        lines.append(
            f"| {name} | {each.images_a_second(images):,.0f} | {rates[0]:,.0f}, {rates[-1]:,.0f} "
            f"| {first / each.images_a_second(images):.2f} | {each.first:.1f} | {each.memory:,.0f} "
            f"| {each.loss:.2f} |"
        )
    return "\n".join(lines)


def table_of_floors(limits: Floors, found: Sequence[Measured], images: int) -> str:
    """Return a Markdown table of what the machine allows, and the part of it that is reached."""
    ours = found[0].images_a_second(images)
    rows = (
        ("arithmetic", limits.operations / 1e6, "Mflop", limits.operations_a_second / 1e9,
         "Gflop/s", limits.arithmetic),
        ("memory", limits.bytes / 1e6, "MB", limits.bytes_a_second / 1e9, "GB/s", limits.memory),
    )  # fmt: skip
    lines = [
        "| floor | an image takes | the machine does | images/s at most "
        f"| {found[0].peer} reaches |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, each, unit, rate, rate_unit, most in rows:
        lines.append(
            f"| {name} | {each:.3g} {unit} | {rate:.3g} {rate_unit} | {most:,.0f} "
            f"| {100 * ours / most:.0f}% |"
        )
    return "\n".join(lines)


def machine(threads: int) -> str:
    """Return a line about the machine, its versions and the date."""
    import torch

    from pyro_vae.training.precision import has_bfloat16

    lacking = "" if has_bfloat16() else ", without bfloat16 instructions"
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {platform.machine()} CPU{lacking}, {threads} "
        f"thread{'s' * (threads > 1)}, torch {torch.__version__}, Python "
        f"{platform.python_version()}, {platform.system()}"
    )


def keep(out: str, name: str, text: str, numbers: dict[str, Any]) -> None:
    """Write what was measured into a folder, as tables and as numbers, and print the tables."""
    folder = Path(out)
    write_text(folder / f"{name}.md", text)
    write_json(folder / f"{name}.json", numbers)
    print(f"\n{text}\nAll numbers are in {folder}.")


def parser() -> Parser:
    """Return the parser of the command line."""
    result = Parser(
        prog="benchmark.py speed", description=__doc__, formatter_class=Formatter,
        allow_abbrev=False,
    )  # fmt: skip
    add = result.add_argument
    add("--network", choices=get_args(Network), default="conv", help="system 1's, or system 4's")
    add("--peers", nargs="+", choices=list(PEERS), default=list(PEERS), help="who is compared")
    add("--data", default="fashion-mnist", help="data set, or its path")
    add("--data-dir", type=str | None, help="folder where data sets are kept")
    add("--images", type=PositiveInt, default=6400, help="number of images in a pass")
    add("--batch-size", type=PositiveInt, default=64, help="number of images in a step")
    add("--rounds", type=PositiveInt, default=5, help="number of passes after the first")
    add("--threads", type=PositiveInt, default=os.cpu_count() or 1, help="cores and threads")
    add("--seed", type=NonNegativeInt, default=0, help="seed of the weights, order and draws")
    add("--out", default="runs/speed", help="folder of the tables and the numbers")
    return result


def main(arguments: Sequence[str]) -> None:
    """Train this library's model and its peers' in turn, and compare their speed."""
    chosen = parser().parse_args(list(arguments))
    names = ("network", "data", "data_dir", "images", "batch_size", "seed")
    task_of = {name: chosen[name] for name in names}
    images = len(images_of(chosen.data, chosen.data_dir, chosen.images))
    found = compare(installed(chosen.peers), task_of, chosen.threads, chosen.rounds)
    with get_context("spawn").Pool(1) as pool:
        limits = pool.apply(floors, ({**task_of, "epochs": 1}, chosen.threads))
    head = f"{chosen.network}, {images:,} images of {chosen.data}, batches of {chosen.batch_size}"
    text = f"{head}; {machine(chosen.threads)}; medians of {chosen.rounds} passes\n\n"
    text += table(found, images) + "\n\n" + table_of_floors(limits, found, images) + "\n"
    numbers = {
        "machine": machine(chosen.threads),
        "settings": {**task_of, "threads": chosen.threads, "rounds": chosen.rounds},
        "floors": asdict(limits),
        "peers": [asdict(each) for each in found],
    }
    keep(chosen.out, chosen.network, text, numbers)
