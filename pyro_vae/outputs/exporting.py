"""A model's networks as programs that need neither this library nor Pyro: `export`.

The encoder maps images to the posterior's mean and standard deviation, the decoder latent vectors
to the likelihood's mean. Draws, densities and the ELBO are Pyro's, and stay in this library.
"""

import copy
import importlib.util
import io
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyro
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pyro_vae._arguments import Natural, Seed, checked
from pyro_vae._files import write_bytes, write_json
from pyro_vae._modes import seeded
from pyro_vae.data import ImageData
from pyro_vae.errors import PyroVAEError
from pyro_vae.outputs.codes import closed_forms
from pyro_vae.outputs.files import require_empty
from pyro_vae.outputs.parts import named_parts
from pyro_vae.vae import VAE, center, mean_of

#: The packages of the extra `onnx`.
ONNX_PACKAGES = ("onnx", "onnxscript", "onnxruntime")
#: The largest difference between a network and its export, relative to the larger of 1 and its
#: largest output.
TOLERANCE = 1e-4
#: Images on which a network and its export are compared.
COMPARED = 64
STAYS = (
    "Draws, log-probabilities, the ELBO and log p(x) need Pyro, and stay in pyro_vae: "
    "pyro_vae.load, pyro-vae sample and pyro-vae score."
)


class ExportError(PyroVAEError, RuntimeError):
    """A network cannot be exported, or its export computes something else."""

    exit_code = 1


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written by `export`.

    Attributes:
        files: the files.
        differences: the largest difference between a network and its export, relative to the
            larger of 1 and its largest output, by the name of the file.
        left_out: why something was not written, by its name.
    """

    files: list[Path]
    differences: dict[str, float]
    left_out: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        lines = [f"{path}{self._compared(path)}" for path in self.files]
        lines += [f"{name} is left out: {reason}" for name, reason in self.left_out.items()]
        return "\n".join([*lines, STAYS])

    def _compared(self, path: Path) -> str:
        difference = self.differences.get(path.name)
        return "" if difference is None else f"   (loaded again: differs by {difference:.1e})"


class EncoderProgram(nn.Module):
    """A posterior's mean and standard deviation, (B, D) each, of images (B, C, H, W)."""

    takes, returns = "x", ("mean", "scale")

    def __init__(self, vae: VAE, margin: int) -> None:
        super().__init__()
        self.posterior, self.margin = vae.posterior, margin

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        q = self.posterior(F.pad(x, [self.margin] * 4))
        return q.mean, q.stddev


class DecoderProgram(nn.Module):
    """A likelihood's mean in [0, 1], (B, C, H, W), at latent vectors (B, D)."""

    takes, returns = "z", ("image",)

    def __init__(self, vae: VAE, margin: int) -> None:
        super().__init__()
        self.likelihood, self.margin = vae.likelihood, margin

    def forward(self, z: Tensor) -> tuple[Tensor]:
        return (F.pad(self.likelihood(z).mean.clamp(0, 1), [-self.margin] * 4),)


Program = EncoderProgram | DecoderProgram


@checked
@torch.no_grad()
def export(
    vae: VAE,
    folder: str | Path,
    images: ImageData | None = None,
    *,
    margin: Natural = 0,
    onnx: bool | None = None,
    seed: Seed = 0,
    overwrite: bool = False,
) -> Exported:
    """Write encoder and decoder as programs without Pyro, load them again, and compare.

    `encoder.pt2` and `decoder.pt2` are read by `torch.export.load`, `encoder.onnx` and
    `decoder.onnx` by any ONNX runtime; `export.json` states their inputs and outputs. All take any
    number of images. A posterior or a likelihood whose moments have no closed form is left out.

    Args:
        vae: the model.
        folder: where they are written; made if need be.
        images: images on which they are compared, at most 64; by default noise.
        margin: the padding of the images: the encoder adds, the decoder removes it.
        onnx: write ONNX files; by default where the packages of the extra `onnx` are installed.
        seed: seed of the noise.
        overwrite: write into a folder that holds something.

    Raises:
        ExportError: nothing can be exported, an export computes something else, or a package is
            missing.
        OutputError: the folder is not empty.

    Example:
        >>> import tempfile
        >>> from pyro_vae import VAE, likelihoods, networks, posteriors, priors
        >>> vae = VAE(
        ...     priors.StandardNormal(2),
        ...     likelihoods.Normal(networks.MLPDecoder(2, (1, 8, 8))),
        ...     posteriors.DiagonalNormal(networks.MLPEncoder((1, 8, 8)), 2),
        ... )
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     found = export(vae, folder, onnx=False)
        ...     encoder = torch.export.load(f"{folder}/encoder.pt2").module()
        >>> mean, scale = encoder(torch.rand(5, 1, 8, 8))
        >>> mean.shape, scale.shape
        (torch.Size([5, 2]), torch.Size([5, 2]))
    """
    folder = require_empty(folder, overwrite=overwrite)
    missing = [name for name in ONNX_PACKAGES if importlib.util.find_spec(name) is None]
    if onnx and missing:
        raise ExportError(f"ONNX needs {', '.join(missing)}: pip install 'pyro-vae[onnx]'.")
    vae = copy.deepcopy(vae).cpu().eval()
    x, z = _inputs(vae, images, margin, seed)
    left_out = _without_moments(vae, z)
    if missing and onnx is None:
        left_out["ONNX"] = f"it needs {', '.join(missing)}: pip install 'pyro-vae[onnx]'."
    programs: dict[str, tuple[Program, Tensor]] = {
        "encoder": (EncoderProgram(vae, margin), x),
        "decoder": (DecoderProgram(vae, margin), z),
    }
    files, differences = [], {}
    for name, (module, given) in programs.items():
        if name in left_out:
            continue
        try:
            program = _exported(module, given)
        except Exception as error:  # Of many kinds, from whatever a user's own network does.
            left_out[name] = f"torch.export cannot follow it: {_first_line(error)}"
            continue
        formats = {"pt2": _as_pt2} | ({} if missing or onnx is False else {"onnx": _as_onnx})
        for ending, write in formats.items():
            path = folder / f"{name}.{ending}"
            content, run = write(program, module)
            differences[path.name] = _compare(path.name, module, run, given)
            write_bytes(path, content, within=folder)
            files.append(path)
    if not files:
        reasons = [f"The {name} is left out: {reason}" for name, reason in left_out.items()]
        raise ExportError(" ".join(reasons))
    files.append(folder / "export.json")
    write_json(files[-1], _description(x, z, differences, left_out), within=folder)
    return Exported(files=files, differences=differences, left_out=left_out)


def _inputs(vae: VAE, images: ImageData | None, margin: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return images without their margin, and latent vectors, to compare with."""
    with seeded(seed, vae.device):
        if images is None:
            padded = torch.rand(3, *vae.image_shape, dtype=vae.zeros(0).dtype, device=vae.device)
        else:
            named_parts("export", vae, images)
            some = images.select(slice(COMPARED)).as_float()
            padded = some.to(vae.zeros(0)).repeat(-(-2 // len(some)), 1, 1, 1)
        z = center(vae.encode(padded))
    return F.pad(padded, [-margin] * 4), z


def _without_moments(vae: VAE, z: Tensor) -> dict[str, str]:
    """Return why encoder or decoder have nothing that could be exported."""
    reasons = {}
    with seeded(0, vae.device):
        has_mean, has_scale = closed_forms(vae.posterior(vae.zeros(1, *vae.image_shape)))
        decodes = mean_of(vae.likelihood(z[:1])) is not None
    if not (has_mean and has_scale):
        lacks = " and ".join(["mean"] * (not has_mean) + ["scale"] * (not has_scale))
        reasons["encoder"] = (
            f"the posterior, {type(vae.posterior).__name__}, has no {lacks} in closed form; "
            "`pyro-vae encode` estimates them from draws."
        )
    if not decodes:
        reasons["decoder"] = (
            f"the likelihood, {type(vae.likelihood).__name__}, has no mean in closed form."
        )
    return reasons


def _exported(module: nn.Module, given: Tensor) -> Any:
    """Return a network as a program for any number of inputs."""
    images = torch.export.Dim("images")
    # The checks of distributions depend on values, and programs do not know them.
    with pyro.validation_enabled(False), _without_future_warnings():
        return torch.export.export(
            module.eval(), (given,), dynamic_shapes=({0: images},), strict=False
        )


Runner = Callable[[Tensor], Sequence[Tensor]]


def _as_pt2(program: Any, _module: Program) -> tuple[bytes, Runner]:
    file = io.BytesIO()
    torch.export.save(program, file)
    content = file.getvalue()
    return content, torch.export.load(io.BytesIO(content)).module()


def _as_onnx(program: Any, module: Program) -> tuple[bytes, Runner]:
    import onnxruntime

    with _without_future_warnings():
        made: Any = torch.onnx.export(
            program,
            input_names=[module.takes],
            output_names=list(module.returns),
            dynamo=True,
            verbose=False,
        )
    content = made.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(given: Tensor) -> list[Tensor]:
        found = session.run(module.returns, {module.takes: given.numpy()})
        return [torch.from_numpy(each) for each in found]

    return content, run


@contextmanager
def _without_future_warnings() -> Iterator[None]:
    """Hide torch's warnings of its own parts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        yield


def _compare(file: str, module: nn.Module, run: Runner, given: Tensor) -> float:
    """Return how much an export differs, on all inputs and on the first alone.

    Raises:
        ExportError: it computes something else.
    """
    largest = 0.0
    for some in (given, given[:1]):
        for expected, found in zip(module(some), run(some), strict=True):
            size = max(1.0, expected.abs().max().item())
            largest = max(largest, (expected - found).abs().max().item() / size)
    if not largest <= TOLERANCE:
        raise ExportError(f"{file}, loaded again, differs from the network by {largest:.1e}.")
    return largest


def _description(
    x: Tensor, z: Tensor, differences: dict[str, float], left_out: dict[str, str]
) -> dict[str, Any]:
    def tensor(name: str, example: Tensor, meaning: str) -> dict[str, Any]:
        kind = str(example.dtype).removeprefix("torch.")
        return {"name": name, "shape": ["N", *example.shape[1:]], "type": kind, "is": meaning}

    return {
        "encoder": {
            "input": tensor("x", x, "images in [0, 1], (N, C, H, W)"),
            "outputs": [
                tensor("mean", z, "the posterior's mean"),
                tensor("scale", z, "the posterior's standard deviation"),
            ],
        },
        "decoder": {
            "input": tensor("z", z, "latent vectors"),
            "outputs": [tensor("image", x, "the likelihood's mean, in [0, 1]")],
        },
        "differences": differences,
        "left_out": left_out,
        "note": STAYS,
    }


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__)
