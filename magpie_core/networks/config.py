"""Configuration of a network: its sizes, a switch for each of its parts, and combinations of several networks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from magpie_core.errors import ModelError
from magpie_core.imaging.modality import GLIOMA_MODALITY_NAMES, Modality
from magpie_core.storage.config import from_plain, to_plain

BACKBONES = ("unet", "mednext")


@dataclass(frozen=True)
class ExpertsConfig:
    """Mixtures of experts in the encoder and in the decoder.

    Attributes:
        blocks: Number of expert blocks at each stage of the encoder, finest first.
        experts, experts_per_token: Number of experts E, and number k of them that each token is routed to; k = E is
            dense routing.
        expansion: Hidden width of one expert as a multiple of its stage's channels; None for half of the stage's dense
            expansion, so that two experts have as many parameters as the dense block they replace.
        renormalize: Scale the k probabilities of a token to sum to 1 (MAGPIE's equation 4 does not).
        router_noise: Standard deviation of the noise on the router's logits in training.
        decoder_blocks: Number of expert blocks after each stage of the decoder, finest first; none by default.
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

    Attributes:
        finer_levels: For each stage, finest first: number of finer stages its tokens attend to besides their own; 0 for
            no attention.
        channels, heads, points: Width of the values, heads, and sampling points per head and level.
    """

    finer_levels: tuple[int, ...]
    channels: int = 128
    heads: int = 8
    points: int = 4


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of a network, and a switch for each of its parts (None or False for off).

    Attributes:
        modalities: Names of the stem's modalities; a channel-agnostic stem takes any subset of them.
        regions: Output channels, in order.
        encoder, decoder: Type of block, "unet" (convolution, instance normalization, leaky ReLU; skips are
            concatenated) or "mednext" (depthwise convolution, expansion, compression; skips are added).
        widths: Channels at each stage, finest first; every stage halves the resolution, the last is the bottleneck.
        encoder_blocks, decoder_blocks: Blocks ("mednext") or convolutions ("unet") per stage, finest first; the decoder
            has one stage less.
        encoder_expansion, decoder_expansion: Hidden width of "mednext" blocks as a multiple of their channels, per
            stage.
        channel_agnostic: Embed each modality separately; otherwise one convolution over fixed channels, absent ones
            zero.
        stem_kernel: Size of the stem's kernels, odd.
        backbone_stride: 1, or 2 for a backbone at half the images' resolution and a refinement head
            (`refinement_channels` wide).
        experts, large_kernel, multi_scale: MAGPIE's parts.
        deep_supervision: Number of coarser decoder stages with logits of their own.
        output: "regions" (a sigmoid for each, independent of the others) or "tissues" (a softmax over background and
            tissues, as in MoME; the network gives the log odds of the regions that follow).

    Raises:
        ModelError: If a value is invalid.
    """

    modalities: tuple[str, ...] = GLIOMA_MODALITY_NAMES
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
    output: str = "regions"

    def __post_init__(self) -> None:
        stages = len(self.widths)
        unknown = [str(name) for name in self.modalities if name not in Modality.__members__]
        _check(_unique(self.modalities), "modalities must be named, each once")
        _check(not unknown, f"unknown modalities {', '.join(unknown)}")
        _check(_unique(self.regions), "regions must be named, each once")
        _check(stages > 1 and min(self.widths) > 0, "at least two stages of positive width are needed")
        _check(
            self.output == "regions" or (self.output == "tissues" and self.regions == ("ET", "TC", "WT")),
            'output must be "regions", or "tissues" with the regions ET, TC, WT',
        )
        _check(self.stem_kernel > 0 and self.stem_kernel % 2 == 1, "stem_kernel must be odd")
        _check(self.backbone_stride in (1, 2), "backbone_stride must be 1 or 2")
        _check(
            self.backbone_stride == 1 or (self.refinement_channels > 1 and self.refinement_channels % 2 == 0),
            "refinement_channels must be even and at least 2",
        )
        _check(0 <= self.deep_supervision <= stages - 2, f"deep_supervision must lie between 0 and {stages - 2}")
        for side, count in (("encoder", stages), ("decoder", stages - 1)):
            backbone = getattr(self, side)
            blocks, expansion = f"{side}_blocks", f"{side}_expansion"
            _check(backbone in BACKBONES, f"{side} must be one of {', '.join(BACKBONES)}")
            _check(_fits(getattr(self, blocks), count, 1), f"{blocks} must be {count} positive numbers")
            _check(
                backbone == "unet" or _fits(getattr(self, expansion), count, 1),
                f"a mednext {side} needs {expansion}, {count} positive numbers",
            )
        self._check_experts()
        self._check_attention()

    def _check_experts(self) -> None:
        part = self.experts
        if part is None:
            return
        stages = len(self.widths)
        _check(_fits(part.blocks, stages, 0), "experts.blocks must have a number for each stage")
        _check(
            not part.decoder_blocks or _fits(part.decoder_blocks, stages - 1, 0),
            "experts.decoder_blocks must have a number for each stage of the decoder",
        )
        _check(any(part.blocks + part.decoder_blocks), "experts has no expert block: omit 'experts' instead")
        _check(
            self.encoder == "unet"
            or all(some <= total for some, total in zip(part.blocks, self.encoder_blocks, strict=True)),
            "experts.blocks must not exceed encoder_blocks",
        )
        _check(1 <= part.experts_per_token <= part.experts, "experts.experts_per_token must lie between 1 and experts")
        in_unet = (self.encoder == "unet" and any(part.blocks)) or (self.decoder == "unet" and any(part.decoder_blocks))
        _check(
            part.expansion is not None or not in_unet,
            "experts.expansion is needed with experts in a unet encoder or decoder",
        )
        _check(part.expansion is None or part.expansion > 0, "experts.expansion must be positive")
        _check(part.router_noise >= 0, "experts.router_noise must not be negative")

    def _check_attention(self) -> None:
        stages = len(self.widths)
        if self.large_kernel is not None:
            part = self.large_kernel
            _check(
                _unique(part.stages) and set(part.stages) <= set(range(stages - 1)),
                f"large_kernel.stages must be different numbers from 0 to {stages - 2}",
            )
            _check(part.kernel > 0 and part.kernel % 2 == 1, "large_kernel.kernel must be odd")
            _check(part.dilation > 0, "large_kernel.dilation must be at least 1")
        if self.multi_scale is not None:
            attention = self.multi_scale
            levels = attention.finer_levels
            _check(_fits(levels, stages, 0), "multi_scale.finer_levels must have a number for each stage")
            _check(any(levels), "multi_scale.finer_levels is zero everywhere: omit 'multi_scale' instead")
            _check(
                all(finer <= stage for stage, finer in enumerate(levels)),
                "multi_scale.finer_levels must not exceed the number of finer stages",
            )
            _check(
                min(attention.heads, attention.channels) > 0 and attention.channels % attention.heads == 0,
                "multi_scale.channels must be a multiple of multi_scale.heads",
            )
            _check(attention.points > 0, "multi_scale.points must be at least 1")

    @property
    def stride(self) -> int:
        """Input voxels per voxel of the coarsest stage along each axis; image sizes must be multiples of it."""
        return int(self.backbone_stride * 2 ** (len(self.widths) - 1))

    @property
    def expert_strides(self) -> tuple[int, ...]:
        """Input voxels per token along each axis, of every mixture of experts in the order of the routing."""
        return tuple(self.backbone_stride * 2**stage for _, stage in self._expert_places())

    @property
    def expert_layers(self) -> tuple[str, ...]:
        """Name of every mixture of experts, such as "decoder, stage 1", in the order of the routing."""
        return tuple(f"{side}, stage {stage}" for side, stage in self._expert_places())

    def _expert_places(self) -> list[tuple[str, int]]:
        """Side and stage of every mixture of experts: the encoder's, then the decoder's, each finest first."""
        if self.experts is None:
            return []
        sides = (("encoder", self.experts.blocks), ("decoder", self.experts.decoder_blocks))
        return [(side, stage) for side, blocks in sides for stage, count in enumerate(blocks) for _ in range(count)]

    @property
    def output_channels(self) -> int:
        """Number of channels of the logits before they are turned into those of regions."""
        return len(self.regions) + (self.output == "tissues")

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML."""
        return {**to_plain(self)}


@dataclass(frozen=True)
class CompositeConfig:
    """Base of the configurations below; `network` is that of each member."""

    kind: ClassVar[str]
    network: NetworkConfig

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities."""
        return self.network.modalities

    @property
    def regions(self) -> tuple[str, ...]:
        """Output channels, in order."""
        return self.network.regions

    @property
    def stride(self) -> int:
        """See `NetworkConfig`."""
        return self.network.stride

    @property
    def backbone_stride(self) -> int:
        """See `NetworkConfig`."""
        return self.network.backbone_stride

    def to_dict(self) -> dict[str, Any]:
        """Return plain values for YAML."""
        return {"kind": self.kind, **to_plain(self)}


@dataclass(frozen=True)
class MomeConfig(CompositeConfig):
    """Configuration of a mixture of modality experts.

    `network` is that of the gate, and of each expert but for its modalities; its modalities name the experts. In the
    mode "study" each expert receives its own modality and the gate all of them, for one joint result. In the mode
    "image", as in the paper, every expert receives every image, one modality at a time, and the images' logits are
    averaged.

    Raises:
        ModelError: If the mode is unknown.
    """

    kind = "mome"
    mode: str = "study"

    def __post_init__(self) -> None:
        _check(self.mode in ("study", "image"), 'mode must be "study" or "image"')

    def expert(self, name: str) -> NetworkConfig:
        """Return the configuration of one expert, as it is first trained on its own modality."""
        return replace(self.network, modalities=(name,))


@dataclass(frozen=True)
class EnsembleConfig(CompositeConfig):
    """Configuration of an ensemble of `count` networks alike (ModelError if there are fewer than two)."""

    kind = "ensemble"
    count: int

    def __post_init__(self) -> None:
        _check(self.count > 1, "an ensemble has at least two members")


AnyConfig = NetworkConfig | MomeConfig | EnsembleConfig


def read_config(values: Mapping[str, Any]) -> AnyConfig:
    """Build a configuration from the 'network' section of a model.yaml (ModelError if a key or value is invalid)."""
    config: type[AnyConfig] = NetworkConfig
    for composite in (MomeConfig, EnsembleConfig):
        if values.get("kind") == composite.kind:
            config, values = composite, {key: value for key, value in values.items() if key != "kind"}
    try:
        return from_plain(config, values, where="network.")
    except ValueError as error:
        raise ModelError(
            "Cannot read the network's configuration",
            cause=str(error),
            remedy="Correct the 'network' section of model.yaml, or use the version of MAGPIE that wrote it",
        ) from error


def _check(valid: bool, cause: str) -> None:
    if not valid:
        raise ModelError(
            "The network's configuration is invalid", cause=cause, remedy="Correct the 'network' section of model.yaml"
        )


def _unique(values: tuple[Any, ...]) -> bool:
    return 0 < len(set(values)) == len(values)


def _fits(values: tuple[int, ...] | None, count: int, minimum: int) -> bool:
    return values is not None and len(values) == count and all(value >= minimum for value in values)
