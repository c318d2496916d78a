"""What every recipe may be told of its run: length, arithmetic, machine, checkpoints."""

from pathlib import Path
from typing import Literal

from pydantic import Field

from .parts import Fraction, Part, Positive


class RunConfig(Part):
    """A training run of any recipe."""

    epochs: Positive = Field(50, description="number of epochs")
    steps_per_epoch: Positive = Field(100, description="steps in an epoch")
    batch_size: Positive = Field(8, description="samples per step, over all processes together")
    learning_rate: float = Field(5e-4, gt=0, description="Adam's peak learning rate")
    schedule: Literal["cosine", "linear", "constant"] = Field(
        "cosine", description="fall of the learning rate: a cosine to 1 %, linear to 0 over the second half, or none"
    )
    warm_up_steps: int = Field(100, ge=0, description="steps of linear warm-up")
    gradient_clip: float = Field(1.0, gt=0, description="largest gradient norm")
    ema: Fraction = Field(0.998, description="decay of the averaged weights that are validated and exported")
    precision: Literal["32-true", "bf16-mixed", "16-mixed"] = Field(
        "bf16-mixed", description="arithmetic; on a CPU without bfloat16 of its own always 32-true"
    )
    accelerator: str = Field("auto", description="auto, cpu, cuda or mps")
    devices: Positive = Field(1, description="processes on this machine; torchrun and fabric run set it themselves")
    threads: int = Field(0, ge=0, description="CPU threads of a process; 0 is torch's choice")
    compile: bool = Field(False, description="compile the networks with torch.compile")
    init: Path | None = Field(None, description="package whose weights to start from (fine-tuning)")
    freeze: list[str] = Field(
        [], description="layers of the network that fine-tuning leaves alone: names or patterns such as encoder.*"
    )
    seed: int = Field(1, ge=0, description="seed of everything random")
    validate_every: Positive = Field(5, description="epochs between validations, checkpoints and sample pictures")
    sample_epochs: list[Positive] = Field(
        [1, 100, 145], description="further epochs that are validated and drawn, whatever validate_every says"
    )
    early_stop: int = Field(
        0, ge=0, description="validations without a better score after which the run ends; 0 goes to the last epoch"
    )
    output: Path = Field(Path("runs/run"), description="folder of the run")
