"""The time of a step of feature visualization, against torch-lucent 0.1.8, on the same network and the same 224 px.

    python bench/optvis.py [--out bench/results/optvis-DATE.md]

The script makes an environment of its own (torch-lucent needs kornia 0.4.1) and runs in it. In one process it takes
turns: some steps of lucent's `render_vis` with its defaults (one 128 px picture, enlarged to 224 px for the network),
some of `optimise` with eight pictures of 224 px in float32, some in bfloat16. Both climb the mean of channel 7, through
transforms, with random weights that are the same in both networks; a step's time is told by a clock in the objective.
Ours is timed twice: as it is, computing no channel but that one, and by an objective of the same value that reads the
whole layer. Reported are the medians, per picture and step.
"""

from __future__ import annotations

import argparse
import copy
import datetime
import os
import platform
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
NEEDS = ("torch-lucent==0.1.8", "kornia==0.4.1")
TARGETS = {
    "conv2d0": (12.0, 24.0),
    "conv2d2": (7.0, 16.0),
    "mixed3b": (5.0, 12.0),
    "mixed4c": (5.0, 10.0),
    "mixed5b": (4.5, 9.0),
}
CHANNEL, PICTURES, STEPS = 7, 8, 5


def environment(folder: Path) -> Path:
    """The python of an environment that holds torch-lucent and this package, made where it is not there yet."""
    python = folder / "bin" / "python"
    if not (folder / "ready").exists():
        uv = shutil.which("uv") or shutil.which("uv", path=str(Path(sys.executable).parent))
        if uv is None:
            sys.exit("This needs uv: pip install uv.")
        settings = dict(os.environ)
        if "PIP_FIND_LINKS" in settings:  # where a build of torch for this machine may lie
            settings.setdefault("UV_FIND_LINKS", settings["PIP_FIND_LINKS"])
        subprocess.run([uv, "venv", "--clear", "--python", sys.executable, str(folder)], check=True)
        constraints = ["--constraint", str(ROOT / "constraints.txt")]
        install = [uv, "pip", "install", "--python", str(python), *constraints, *NEEDS, "--editable", str(ROOT)]
        subprocess.run(install, check=True, env=settings)
        (folder / "ready").touch()
    return python


class Clock:
    """Notes the time at each step; the first step of each turn, which sets things up, is not counted."""

    def __init__(self, read: Callable[[], float]) -> None:
        self.read = read
        self.taken: list[float] = []
        self.last: float | None = None

    def tick(self) -> None:
        """A step begins."""
        now = self.read()
        if self.last is not None:
            self.taken.append(now - self.last)
        self.last = now

    def stop(self) -> None:
        """The turn is over; its first and its last step do not count."""
        self.last = None

    def milliseconds(self, pictures: int) -> float:
        """The median time of a step for one picture."""
        return statistics.median(self.taken) / pictures * 1000


def networks() -> tuple[Any, Any]:
    """lucent's InceptionV1 with random weights, and ours traced with the same ones."""
    import torch

    # torchvision's operators are built for one build of torch each; lucent imports its networks and calls none of them
    real, torch.library.register_fake = torch.library.register_fake, lambda *_, **__: lambda function: function
    import torchvision  # noqa: F401

    torch.library.register_fake = real
    from lucent.modelzoo.inceptionv1.InceptionV1 import InceptionV1 as Lucent

    from micrographia.model.card import Card
    from micrographia.model.trace import trace
    from micrographia.zoo.inception import TENSORFLOW, InceptionV1

    torch.manual_seed(0)
    theirs = Lucent(pretrained=False).eval()
    # lucent's local response norm: over 9 channels, with alpha divided by 9 and no bias but 1
    ours = InceptionV1(TENSORFLOW, 1008, lrn=(9, 9.99999974738e-05, 0.5, 1.0), pad=(2, 3, 2, 3)).eval()
    given = theirs.state_dict()
    with torch.no_grad():
        for name, value in given.items():
            if name.endswith("weight"):
                torch.nn.init.kaiming_normal_(value)
        for name, value in ours.state_dict().items():
            stem, _, kind = name.removesuffix(".conv.weight").removesuffix(".conv.bias"), "", name.rpartition(".")[2]
            key = f"{stem}_pre_relu_conv.{kind}" if ".conv." in name else f"softmax2_pre_activation_matmul.{kind}"
            value.copy_(given[key])
    graph = trace(ours, Card("inceptionv1", (224, 224), 224, scale=255.0, mean=(117.0,) * 3, std=(1.0,) * 3))
    return theirs, graph


def check(theirs: Any, graph: Any) -> float:
    """The largest difference of the two networks at mixed5b, as a share of the largest value."""
    import torch

    from micrographia.model.capture import capture

    image = torch.rand(1, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    seen: dict[str, Any] = {}
    hook = theirs.mixed5b.register_forward_hook(lambda module, inputs, output: seen.update(value=output.detach()))
    theirs(image * 255 - 117)
    hook.remove()
    own = capture(graph, image, "mixed5b")["mixed5b"]
    return float((own - seen["value"]).abs().max() / own.abs().max())


def lucent_turn(model: Any, layer: str, clock: Clock) -> None:
    """Some steps of render_vis, on a fresh copy: it leaves its hooks behind."""
    from lucent.optvis import objectives, render

    inner = objectives.channel(layer, CHANNEL)

    def timed(read: Callable[[str], Any]) -> Any:
        clock.tick()
        return inner(read)

    objective = objectives.Objective(timed)
    render.render_vis(copy.deepcopy(model), objective, thresholds=(STEPS,), progress=False, show_image=False)
    clock.stop()


def own_turn(graph: Any, layer: str, precision: str, whole: bool, clock: Clock) -> None:
    """Some steps of optimise."""
    from micrographia.optvis.objective import Channel, Direction
    from micrographia.optvis.optimise import optimise
    from micrographia.optvis.quality import Quality

    class Timed(Channel):
        def __call__(self, scene: Any) -> Any:
            if scene.pictures.requires_grad:
                clock.tick()
            return super().__call__(scene)

    class TimedWhole(Direction):
        def __call__(self, scene: Any) -> Any:
            if scene.pictures.requires_grad:
                clock.tick()
            return super().__call__(scene)

    alone = [float(each == CHANNEL) for each in range(graph.layer(layer).channels)]
    target = TimedWhole(layer, alone) if whole else Timed(layer, CHANNEL)
    quality = Quality("bench", steps=STEPS, rate=0.05, settle=0, plateau=-1.0)
    optimise(graph, target, quality=quality, pictures=PICTURES, size=(224, 224), precision=precision)
    clock.stop()


def work(graph: Any, layer: str) -> float:
    """Floating-point operations of a step for one picture: forward to the layer, and back to the picture."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode

    module = graph.upto(layer)
    image = torch.zeros(1, 3, 224, 224, requires_grad=True)
    frozen = [each.requires_grad_(False) for each in copy.deepcopy(module).parameters()]
    module = copy.deepcopy(module)
    for each in module.parameters():
        each.requires_grad_(False)
    del frozen
    with FlopCounterMode(display=False) as counter:
        module(image)[layer].sum().backward()
    return float(counter.get_total_flops())


def peak(read: Callable[[], float]) -> float:
    """The machine's best rate in a float32 convolution, forward and back, in operations per second."""
    import torch

    conv = torch.nn.Conv2d(256, 256, 3, padding=1).to(memory_format=torch.channels_last).requires_grad_(False)
    image = torch.randn(8, 256, 56, 56).to(memory_format=torch.channels_last).requires_grad_(True)
    operations = 2 * 2 * 8 * 56 * 56 * 256 * 256 * 9
    times = []
    for _ in range(8):
        start = read()
        torch.autograd.grad(conv(image).sum(), image)
        times.append(read() - start)
    return operations / min(times)


def measure(rounds: int, layers: list[str], threads: int, processor_time: bool) -> list[str]:
    """The lines of the result page."""
    import torch

    torch.set_num_threads(threads)
    read = time.process_time if processor_time else time.perf_counter
    theirs, graph = networks()
    apart, best, before = check(theirs, graph), peak(read), os.getloadavg()
    rows = []
    for layer in layers:
        clocks = [Clock(read) for _ in range(5)]
        ways = [(precision, whole) for whole in (False, True) for precision in ("float32", "bfloat16")]
        for _ in range(rounds):
            lucent_turn(theirs, layer, clocks[0])
            for (precision, whole), clock in zip(ways, clocks[1:], strict=True):
                own_turn(graph, layer, precision, whole, clock)
        lucent = clocks[0].milliseconds(1)
        full, half, full_whole, half_whole = (clock.milliseconds(PICTURES) for clock in clocks[1:])
        share = work(graph, layer) / (full_whole / 1000) / best
        wanted = TARGETS[layer]
        rows.append(
            f"| {layer} | {lucent:.1f} | {full:.1f} | {half:.1f} | {lucent / full:.1f} | {wanted[0]:g} "
            f"| {lucent / half:.1f} | {wanted[1]:g} | {full_whole:.1f} | {half_whole:.1f} | {lucent / full_whole:.1f} "
            f"| {lucent / half_whole:.1f} | {share:.0%} |"
        )
        print(rows[-1], file=sys.stderr, flush=True)
    after = os.getloadavg()
    return [
        "# Feature visualization: time of a step",
        "",
        f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d}, {processor()}, {os.cpu_count()} cores, threads: {threads}, "
        f"Python {platform.python_version()}, torch {torch.__version__}, torch-lucent 0.1.8 with kornia 0.4.1.",
        "",
        f"Load average {before[0]:.1f} before and {after[0]:.1f} after, on {os.cpu_count()} cores"
        + (
            ": others were at work, so only the ratios of turns in one process mean something."
            if max(before[0], after[0]) > 3
            else "."
        ),
        "",
        f"Median milliseconds of {'processor' if processor_time else 'wall'} time per picture and step: lucent's",
        "default, ours with eight pictures, in float32 and in bfloat16, computing the one channel that is asked for;",
        "then ours with an objective that reads the whole layer, as lucent computes it;",
        f"{rounds} turns of {STEPS} steps each, alternating. The networks differ by {apart:.1e} of the largest value.",
        "The last column is the share of the best rate of a float32 convolution here that the whole layer reaches, "
        f"{best / 1e9:.0f} GF/s.",
        "",
        "| layer | lucent | float32 | bfloat16 | times faster | wanted | in bfloat16 | wanted | whole layer, float32 "
        "| bfloat16 | times faster | in bfloat16 | of the peak |",
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |",
        *rows,
        "",
    ]


def processor() -> str:
    """The processor's name."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main() -> None:
    """Make the environment, run in it, print the page."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--environment", type=Path, default=ROOT / "build" / "lucent")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--processor-time", action="store_true", help="not wall time: for a machine with other work")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--layers", nargs="+", default=list(TARGETS), choices=list(TARGETS))
    parser.add_argument("--out", type=Path)
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if not given.inside:
        python = environment(given.environment.absolute())
        sys.exit(subprocess.run([str(python), str(Path(__file__)), "--inside", *sys.argv[1:]]).returncode)
    page = "\n".join(measure(given.rounds, given.layers, given.threads, given.processor_time))
    print(page)
    if given.out:
        given.out.write_text(page)


if __name__ == "__main__":
    main()
