"""Named networks: MAGPIE in its sizes, and the backbones of its Table 1, plain and with MAGPIE's parts."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType

from magpie_core.errors import ModelError
from magpie_core.networks.config import ExpertsConfig, LargeKernelConfig, MultiScaleConfig, NetworkConfig

_WIDTHS = (32, 64, 128, 256, 512)


def _mednext(
    blocks: tuple[int, ...], expansion: tuple[int, ...], experts: tuple[int, ...] | None = None
) -> NetworkConfig:
    """Configure a MedNeXt from nine numbers each in the order of its paper: down, bottleneck, up."""
    plain = NetworkConfig(
        encoder="mednext",
        decoder="mednext",
        widths=_WIDTHS,
        encoder_blocks=blocks[:5],
        decoder_blocks=blocks[:4:-1],
        encoder_expansion=expansion[:5],
        decoder_expansion=expansion[:4:-1],
        channel_agnostic=False,
        stem_kernel=1,
        backbone_stride=1,
        deep_supervision=3,
    )
    return plain if experts is None else _with_parts(plain, ExpertsConfig(blocks=experts))


def _unet(width: int, experts: ExpertsConfig | None = None) -> NetworkConfig:
    plain = NetworkConfig(
        widths=tuple(width * 2**stage for stage in range(5)),
        encoder_blocks=(2,) * 5,
        decoder_blocks=(2,) * 4,
        channel_agnostic=False,
        backbone_stride=1,
        deep_supervision=3,
    )
    return plain if experts is None else _with_parts(plain, experts)


def _with_parts(plain: NetworkConfig, experts: ExpertsConfig) -> NetworkConfig:
    """Add MAGPIE's parts."""
    return replace(
        plain,
        channel_agnostic=True,
        stem_kernel=3,
        experts=experts,
        large_kernel=LargeKernelConfig(stages=(1, 2, 3)),
        multi_scale=MultiScaleConfig(finer_levels=(0, 0, 1, 2, 2)),
    )


def _light(config: NetworkConfig) -> NetworkConfig:
    """Replace the decoder by that of a U-Net, as in AMAES (arXiv 2408.00640)."""
    return replace(config, decoder="unet", decoder_expansion=None, decoder_blocks=(2,) * 4)


_S = ((2,) * 9, (2,) * 9)
_B = ((2,) * 9, (2, 3, 4, 4, 4, 4, 4, 3, 2))
_M = ((3, 4, 4, 4, 4, 4, 4, 4, 3), (2, 3, 4, 4, 4, 4, 4, 3, 2))
_L = ((3, 4, 8, 8, 8, 8, 8, 4, 3), (3, 4, 8, 8, 8, 8, 8, 4, 3))

_MAGPIE_A = _mednext(*_L, experts=(0, 0, 4, 1, 4))
_MAGPIE_B1 = _mednext((2, 2, 4, 8, 9, 8, 4, 2, 2), (2, 2, 4, 8, 8, 8, 4, 2, 2), experts=(0, 0, 2, 2, 4))
_MAGPIE_B2 = replace(_mednext(*_L, experts=(0, 0, 2, 2, 4)), backbone_stride=2, refinement_channels=32)
_MAGPIE_M = _mednext((2, 2, 2, 2, 4, 2, 2, 2, 2), (2, 3, 4, 4, 4, 4, 4, 3, 2), experts=(0, 0, 1, 1, 2))

_UNET_EXPERTS = ExpertsConfig(blocks=(0, 0, 1, 1, 1), expansion=2.0)
_SMALL = NetworkConfig(experts=ExpertsConfig(blocks=(0, 1, 1, 1, 0), expansion=2.0))
_SMALL_WITH_DECODER = replace(
    _SMALL, experts=ExpertsConfig(blocks=(0, 1, 1, 1, 0), expansion=2.0, decoder_blocks=(1, 0, 0, 0))
)

PRESETS = MappingProxyType(
    {
        "magpie-s": _SMALL_WITH_DECODER,
        "magpie-s-encoder-experts": _SMALL,
        "magpie-s-full": replace(
            _SMALL,
            large_kernel=LargeKernelConfig(stages=(2,), kernel=5, dilation=2),
            multi_scale=MultiScaleConfig(finer_levels=(0, 0, 0, 1, 1), channels=32, heads=4),
        ),
        "magpie-m": _MAGPIE_M,
        "magpie-l": _MAGPIE_B1,
        "magpie-a": _MAGPIE_A,
        "magpie-b1": _MAGPIE_B1,
        "magpie-b2": _MAGPIE_B2,
        "mednext-s": _mednext(*_S),
        "mednext-b": _mednext(*_B),
        "mednext-m": _mednext(*_M),
        "mednext-l": _mednext(*_L),
        "mednext-s-magpie": _mednext(*_S, experts=(0, 0, 1, 1, 1)),
        "mednext-b-magpie": _mednext(*_B, experts=(0, 0, 1, 1, 1)),
        "mednext-m-magpie": _mednext(*_M, experts=(0, 0, 2, 2, 2)),
        "mednext-l-magpie": _MAGPIE_A,
        "amaes-m": _light(_mednext(*_M)),
        "amaes-l": _light(_mednext(*_L)),
        "amaes-m-magpie": _light(_mednext(*_M, experts=(0, 0, 2, 2, 2))),
        "amaes-l-magpie": _light(_MAGPIE_A),
        "unet-b": _unet(32),
        "mome-expert": replace(_unet(32), output="tissues"),
        "unet-l": _unet(51),
        "unet-xl": _unet(64),
        "unet-b-magpie": _unet(32, _UNET_EXPERTS),
        "unet-l-magpie": _unet(51, _UNET_EXPERTS),
        "unet-xl-magpie": _unet(64, _UNET_EXPERTS),
    }
)


def preset(name: str) -> NetworkConfig:
    """Return the configuration of a named network (ModelError, which lists the names, if there is none)."""
    if name not in PRESETS:
        raise ModelError(
            f"There is no network {name!r}", cause=f"known: {', '.join(PRESETS)}", remedy="Choose one of these"
        )
    return PRESETS[name]
