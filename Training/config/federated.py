"""What federated training may be told."""

from pathlib import Path

from pydantic import Field, model_validator

from .data import DataConfig
from .parts import Part, Positive
from .pix2pix import Pix2PixConfig


class FederatedConfig(Pix2PixConfig):
    """pix2pix over several hospitals: the server's configuration, and everybody's in a simulation."""

    hospitals: list[DataConfig] = Field([], description="for a simulation: the section data of every hospital")
    least_hospitals: Positive = Field(2, description="hospitals that must have answered before a round counts")
    rounds: Positive = Field(5, description="exchanges of weights; each hospital trains epochs / rounds between two")
    at_once: Positive = Field(1, description="hospitals that train at the same time in a simulation")
    output: Path = Field(Path("runs/federated"), description="folder of the run")

    @model_validator(mode="after")
    def _whole_rounds(self) -> "FederatedConfig":
        if self.epochs % self.rounds:
            raise ValueError(f"epochs ({self.epochs}) must be a multiple of rounds ({self.rounds})")
        return self


class HospitalConfig(Part):
    """What a real hospital says of itself; how to train it hears from the server."""

    data: DataConfig = Field(description="the hospital's own data")
    output: Path = Field(description="the hospital's own folder of the run, which never leaves it")
    accelerator: str = Field("auto", description="auto, cpu, cuda or mps")
    threads: int = Field(0, ge=0, description="CPU threads; 0 is torch's choice")
