"""The one configuration that says what a network looks like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, is_dataclass
from typing import Any

from magpie_core.errors import ModelError
from magpie_core.imaging.modality import Modality


@dataclass(frozen=True)
class ExpertsConfig:
    """Mixtures of experts in the encoder, and in the decoder.

    Attributes
    ----------
    blocks
        Number of expert blocks at each stage of the encoder, finest first.
    experts, experts_per_token
        E, and how many of them see each token (k); k = E is dense routing.
    expansion
        Hidden width of one expert as a multiple of its stage's channels; None for half of the stage's dense
        expansion, so that two experts of a token have just the parameters of the block they stand for.
    renormalize
        Whether the k probabilities of a token are scaled to sum to 1 (MAGPIE's equation 4 does not).
    router_noise
        Standard deviation of noise on the router's logits in training.
    decoder_blocks
        Number of expert blocks after each stage of the decoder, finest first; none by default.
    """

    blocks: tuple[int, ...]
    experts: int = 8
    experts_per_token: int = 2
    expansion: float | None = None
    renormalize: bool = True
    router_noise: float = 0.0
    decoder_blocks: tuple[int, ...] = ()


@dataclass(frozen=True)
class LargeKernelConfig:
    """Deformable large-kernel attention (D-LKA) in the decoder, after the given stages (0 is the finest)."""

    stages: tuple[int, ...]
    kernel: int = 7
    dilation: int = 3


@dataclass(frozen=True)
class MultiScaleConfig:
    """Multi-scale deformable attention (MS-DA) in the encoder.

    Attributes
    ----------
    finer_levels
        For each stage, finest first: how many finer stages its tokens look at beside their own; 0 for no attention.
    channels, heads, points
        Width of the values, heads, and sampling points per head and level.
    """

    finer_levels: tuple[int, ...]
    channels: int = 128
    heads: int = 8
    points: int = 4


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a network, and a switch for each of its parts (None or False: off).

    Attributes
    ----------
    modalities
        Names of the modalities that the stem knows; a channel-agnostic stem takes any subset of them.
    regions
        Output channels, in order.
    encoder, decoder
        Kind of block, "unet" (convolution, instance normalization, leaky ReLU; skips are concatenated) or
        "mednext" (depthwise convolution, expansion, compression; skips are added).
    widths
        Channels at each stage, finest first; every stage halves the resolution, the last is the bottleneck.
    encoder_blocks, decoder_blocks
        Blocks ("mednext") or convolutions ("unet") per stage, finest first; the decoder has one stage less.
    encoder_expansion, decoder_expansion
        Hidden width of "mednext" blocks as a multiple of their channels, per stage.
    channel_agnostic
        Embed each modality on its own; otherwise one convolution over fixed channels, absent ones zero.
    stem_kernel
        Size of the stem's kernels, odd.
    backbone_stride
        1, or 2 for a body at half the images' resolution with a head that adds detail (`refinement_channels` wide).
    experts, large_kernel, multi_scale
        MAGPIE's parts.
    deep_supervision
        Number of coarser decoder stages that give logits of their own in training.

    Raises
    ------
    ModelError
        If a value is impossible.
    """

    modalities: tuple[str, ...] = ("T1", "T1CE", "T2", "FLAIR")
    regions: tuple[str, ...] = ("ET", "TC", "WT")
    encoder: str = "unet"
    decoder: str = "unet"
    widths: tuple[int, ...] = (16, 32, 64, 128, 160)
    encoder_blocks: tuple[int, ...] = (1, 2, 2, 2, 2)
    decoder_blocks: tuple[int, ...] = (1, 2, 2, 2)
    encoder_expansion: tuple[int, ...] | None = None
    decoder_expansion: tuple[int, ...] | None = None
    channel_agnostic: bool = True
    stem_kernel: int = 3
    backbone_stride: int = 2
    refinement_channels: int = 32
    experts: ExpertsConfig | None = None
    large_kernel: LargeKernelConfig | None = None
    multi_scale: MultiScaleConfig | None = None
    deep_supervision: int = 1

    def __post_init__(self) -> None:
        _freeze(self)
        for wrong, sentence in self._problems():
            if wrong:
                raise ModelError(
                    "The network's configuration is impossible",
                    cause=sentence,
                    remedy="Correct the 'network' section of model.yaml",
                )

    def _problems(self) -> list[tuple[bool, str]]:
        stages = len(self.widths)
        unknown = [name for name in self.modalities if name not in Modality.__members__]
        problems = [
            (not self.modalities, "at least one modality is needed"),
            (bool(unknown), f"unknown modalities {', '.join(map(str, unknown))}"),
            (len(set(self.modalities)) != len(self.modalities), "a modality is named twice"),
            (
                not self.regions or len(set(self.regions)) != len(self.regions),
                "regions must be named, each once",
            ),
            (self.encoder not in BACKBONES, f"encoder must be one of {', '.join(BACKBONES)}"),
            (self.decoder not in BACKBONES, f"decoder must be one of {', '.join(BACKBONES)}"),
            (stages < 2 or min(self.widths) < 1, "at least two stages of positive width are needed"),
            (not _fits(self.encoder_blocks, stages, 1), f"encoder_blocks must be {stages} positive numbers"),
            (
                not _fits(self.decoder_blocks, stages - 1, 1),
                f"decoder_blocks must be {stages - 1} positive numbers",
            ),
            (
                self.encoder == "mednext" and not _fits(self.encoder_expansion, stages, 1),
                f"a mednext encoder needs encoder_expansion, {stages} positive numbers",
            ),
            (
                self.decoder == "mednext" and not _fits(self.decoder_expansion, stages - 1, 1),
                f"a mednext decoder needs decoder_expansion, {stages - 1} positive numbers",
            ),
            (self.stem_kernel < 1 or self.stem_kernel % 2 == 0, "stem_kernel must be odd"),
            (self.backbone_stride not in (1, 2), "backbone_stride must be 1 or 2"),
            (
                self.backbone_stride == 2
                and (self.refinement_channels < 2 or self.refinement_channels % 2 == 1),
                "refinement_channels must be even and at least 2",
            ),
            (
                not 0 <= self.deep_supervision <= stages - 2,
                f"deep_supervision must lie between 0 and {stages - 2}",
            ),
        ]
        return problems + self._expert_problems() + self._attention_problems()

    def _expert_problems(self) -> list[tuple[bool, str]]:
        part = self.experts
        if part is None:
            return []
        return [
            (not _fits(part.blocks, len(self.widths), 0), "experts.blocks must be a number for each stage"),
            (
                bool(part.decoder_blocks) and not _fits(part.decoder_blocks, len(self.widths) - 1, 0),
                "experts.decoder_blocks must be a number for each stage of the decoder",
            ),
            (
                sum(part.blocks) + sum(part.decoder_blocks) == 0,
                "experts.blocks has no expert block: leave 'experts' out instead",
            ),
            (
                self.encoder == "mednext"
                and any(n > all_ for n, all_ in zip(part.blocks, self.encoder_blocks)),  # noqa: B905
                "experts.blocks must not exceed encoder_blocks",
            ),
            (
                not 1 <= part.experts_per_token <= part.experts,
                "experts.experts_per_token must lie between 1 and experts",
            ),
            (
                part.expansion is None
                and (
                    (self.encoder == "unet" and sum(part.blocks) > 0)
                    or (self.decoder == "unet" and sum(part.decoder_blocks) > 0)
                ),
                "experts.expansion is needed with experts in a unet encoder or decoder",
            ),
            (part.expansion is not None and part.expansion <= 0, "experts.expansion must be positive"),
            (part.router_noise < 0, "experts.router_noise must not be negative"),
        ]

    def _attention_problems(self) -> list[tuple[bool, str]]:
        problems = []
        stages = len(self.widths)
        if self.large_kernel is not None:
            part = self.large_kernel
            inside = all(0 <= stage < stages - 1 for stage in part.stages)
            problems += [
                (
                    not part.stages or not inside or len(set(part.stages)) != len(part.stages),
                    f"large_kernel.stages must be different numbers from 0 to {stages - 2}",
                ),
                (part.kernel < 1 or part.kernel % 2 == 0, "large_kernel.kernel must be odd"),
                (part.dilation < 1, "large_kernel.dilation must be at least 1"),
            ]
        if self.multi_scale is not None:
            attention = self.multi_scale
            levels = attention.finer_levels
            problems += [
                (not _fits(levels, stages, 0), "multi_scale.finer_levels must be a number for each stage"),
                (
                    not any(levels),
                    "multi_scale.finer_levels is zero everywhere: leave 'multi_scale' out instead",
                ),
                (
                    any(finer > stage for stage, finer in enumerate(levels)),
                    "multi_scale.finer_levels asks for stages finer than the finest",
                ),
                (
                    attention.heads < 1
                    or attention.channels < 1
                    or attention.channels % attention.heads != 0,
                    "multi_scale.channels must be a multiple of multi_scale.heads",
                ),
                (attention.points < 1, "multi_scale.points must be at least 1"),
            ]
        return problems

    @property
    def stride(self) -> int:
        """Input voxels per voxel of the coarsest stage, along each axis."""
        return int(self.backbone_stride * 2 ** (len(self.widths) - 1))

    @property
    def expert_strides(self) -> tuple[int, ...]:
        """Input voxels per token, along each axis, of every mixture of experts, in the order of the routing."""
        return tuple(self.backbone_stride * 2**stage for _, stage in self._expert_places())

    @property
    def expert_layers(self) -> tuple[str, ...]:
        """Where every mixture of experts sits, such as "decoder, stage 1", in the order of the routing."""
        return tuple(f"{side}, stage {stage}" for side, stage in self._expert_places())

    def _expert_places(self) -> list[tuple[str, int]]:
        """Side and stage of every mixture of experts: the encoder's, then the decoder's, each finest first."""
        if self.experts is None:
            return []
        sides = (("encoder", self.experts.blocks), ("decoder", self.experts.decoder_blocks))
        return [
            (side, stage)
            for side, blocks in sides
            for stage, count in enumerate(blocks)
            for _ in range(count)
        ]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NetworkConfig:
        """Build from plain values; unknown keys are refused (ModelError)."""
        values = dict(values)
        for key, kind in PARTS.items():
            if values.get(key) is not None:
                values[key] = _build(kind, values[key], f"{key}.")
        config = _build(cls, values, "")
        assert isinstance(config, cls)
        return config

    def to_dict(self) -> dict[str, Any]:
        """Plain values, lists instead of tuples, ready for YAML."""
        plain = _plain(asdict(self))
        assert isinstance(plain, dict)
        return plain


BACKBONES = ("unet", "mednext")
PARTS = {"experts": ExpertsConfig, "large_kernel": LargeKernelConfig, "multi_scale": MultiScaleConfig}


def _build(kind: type, values: Any, where: str) -> Any:
    if not isinstance(values, Mapping):
        raise ModelError(
            "The network's configuration has a value of the wrong kind",
            cause=f"{where.rstrip('.') or 'network'} must hold keys and values",
        )
    unknown = sorted(f"{where}{key}" for key in set(values) - {item.name for item in fields(kind)})
    if unknown:
        raise ModelError(
            "The network's configuration has keys that this version does not know",
            cause=f"unknown: {', '.join(unknown)}",
            remedy="Correct the spelling, or use the version that the model was made with",
        )
    try:
        return kind(**values)
    except TypeError as error:
        raise ModelError(
            "The network's configuration has a value of the wrong kind", cause=str(error)
        ) from error


def _freeze(config: Any) -> None:
    """Lists become tuples, here and in the parts."""
    for item in fields(config):
        value = getattr(config, item.name)
        if isinstance(value, list):
            object.__setattr__(config, item.name, tuple(value))
        elif is_dataclass(value):
            _freeze(value)


def _fits(values: tuple[int, ...] | None, count: int, least: int) -> bool:
    return values is not None and len(values) == count and all(value >= least for value in values)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, tuple) else value
