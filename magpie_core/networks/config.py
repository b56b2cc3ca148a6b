"""The one configuration that says what a MAGPIE network looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from magpie_core.errors import ModelError
from magpie_core.study.sequence import Sequence


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes and switches of a MAGPIE network.

    Parameters
    ----------
    sequences
        Names of the sequences that the stem has an embedding for; any subset of them may be given at run time.
    regions
        Output channels, in order.
    widths
        Channels at each stage; every stage halves the resolution.
    expert_stages
        Encoder stages that end in a mixture of experts.
    experts, experts_per_token
        Number of experts E and how many of them see each token (k).
    expert_expansion
        Hidden width of an expert, as a multiple of its stage's channels.
    detail_channels
        Channels of the head that adds detail at twice the body's resolution.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    sequences: tuple[str, ...] = ("T1", "T1CE", "T2", "FLAIR")
    regions: tuple[str, ...] = ("ET", "TC", "WT")
    widths: tuple[int, ...] = (16, 32, 64, 128, 160)
    expert_stages: tuple[int, ...] = (1, 2, 3)
    experts: int = 8
    experts_per_token: int = 2
    expert_expansion: float = 2.0
    detail_channels: int = 32

    def __post_init__(self) -> None:
        for field in ("sequences", "regions", "widths", "expert_stages"):
            object.__setattr__(self, field, tuple(getattr(self, field)))
        unknown = [name for name in self.sequences if name not in Sequence.__members__]
        problems = [
            (not self.sequences, "at least one sequence is needed"),
            (bool(unknown), f"unknown sequences {unknown}"),
            (len(set(self.sequences)) != len(self.sequences), "a sequence is named twice"),
            (not self.regions, "at least one region is needed"),
            (
                len(self.widths) < 2 or min(self.widths) < 1,
                "at least two stages of positive width are needed",
            ),
            (self.detail_channels < 1, "detail_channels must be at least 1"),
            (
                not 1 <= self.experts_per_token <= self.experts,
                "experts_per_token must lie between 1 and experts",
            ),
            (
                any(not 0 <= stage < len(self.widths) for stage in self.expert_stages),
                f"expert_stages must lie between 0 and {len(self.widths) - 1}",
            ),
            (self.expert_expansion <= 0, "expert_expansion must be positive"),
        ]
        for wrong, sentence in problems:
            if wrong:
                raise ModelError(
                    "The network's configuration is impossible",
                    cause=sentence,
                    remedy="Correct the 'network' section of model.yaml",
                )

    @property
    def stride(self) -> int:
        """Input voxels per voxel of the coarsest stage, along each axis."""
        return 2 ** len(self.widths)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Build from plain values; unknown keys are refused (ModelError)."""
        unknown = sorted(set(values) - {field.name for field in fields(cls)})
        if unknown:
            raise ModelError(
                "The network's configuration has keys that this version does not know",
                cause=f"unknown: {', '.join(unknown)}",
                remedy="Correct the spelling, or use the version that the model was made with",
            )
        try:
            return cls(**values)
        except TypeError as error:
            raise ModelError(
                "The network's configuration has a value of the wrong kind", cause=str(error)
            ) from error

    def to_dict(self) -> dict[str, Any]:
        """Plain values, lists instead of tuples, ready for YAML."""
        return {
            key: list(value) if isinstance(value, tuple) else value for key, value in asdict(self).items()
        }
