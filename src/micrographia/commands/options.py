"""Arguments and options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Model = Annotated[
    str, typer.Argument(help="a name of `micrographia models`, torchvision:NAME, timm:NAME or FILE.py:factory")
]
Weights = Annotated[Path | None, typer.Option(help="file of weights: .safetensors, .npz, or a PyTorch state dict")]
Json = Annotated[bool, typer.Option("--json", help="print one JSON document")]
Seed = Annotated[int, typer.Option(help="seed of everything random")]
Device = Annotated[str, typer.Option(help="cpu, cuda or mps")]
