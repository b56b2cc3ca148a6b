"""MixtureOfExperts: its formula, losses and statistics."""

import pytest
import torch
from torch.nn import functional as F

from magpie_core.networks.config import ExpertsConfig
from magpie_core.networks.mixture_of_experts import ExpertBlock, MixtureOfExperts


@pytest.fixture
def mixture():
    torch.manual_seed(0)
    mixture = MixtureOfExperts(6, 12, ExpertsConfig(blocks=(1,)))
    with torch.no_grad():
        mixture.router.weight.normal_()
        mixture.expand_bias.normal_()
        mixture.compress_bias.normal_()
    return mixture


def test_mixture_equals_its_formula_for_each_token(mixture):
    tokens = torch.randn(40, 6)
    output, routing = mixture(tokens)
    probabilities = F.linear(tokens, mixture.router.weight).softmax(dim=1)
    for token, result, p in zip(tokens, output, probabilities, strict=True):
        best = p.topk(2)
        share = best.values / best.values.sum()
        expected = sum(
            w
            * (
                F.gelu(token @ mixture.expand[e] + mixture.expand_bias[e]) @ mixture.compress[e]
                + mixture.compress_bias[e]
            )
            for w, e in zip(share, best.indices.tolist(), strict=True)
        )
        torch.testing.assert_close(result, expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(routing.probabilities, probabilities)


def test_mixture_is_finite_with_experts_without_tokens(mixture):
    with torch.no_grad():
        mixture.router.weight.zero_()
        mixture.router.weight[3] = 5.0
        mixture.router.weight[5] = 4.0
    tokens = torch.rand(10, 6) + 0.1
    output, routing = mixture(tokens)
    assert set(routing.chosen.flatten().tolist()) == {3, 5}
    assert torch.isfinite(output).all()


def test_balance_loss_is_one_for_a_uniform_router_and_four_if_two_of_eight_experts_get_all(mixture):
    with torch.no_grad():
        mixture.router.weight.zero_()
    _, uniform = mixture(torch.randn(64, 6))
    assert uniform.balance_loss.item() == pytest.approx(1.0, abs=1e-5)
    with torch.no_grad():
        mixture.router.weight[0] = mixture.router.weight[1] = 100.0
    _, concentrated = mixture(torch.rand(64, 6) + 0.1)
    assert concentrated.balance_loss.item() == pytest.approx(4.0, abs=1e-3)


def test_balance_loss_ignores_tokens_outside_the_valid_mask(mixture):
    tokens = torch.randn(30, 6)
    valid_mask = torch.arange(30) < 20
    _, expected = mixture(tokens, valid_mask)
    changed = tokens.clone()
    changed[20:] = 9.0
    _, routing = mixture(changed, valid_mask)
    torch.testing.assert_close(routing.balance_loss, expected.balance_loss)
    torch.testing.assert_close(routing.z_loss, expected.z_loss)


def test_load_and_entropy_differ_between_a_uniform_and_a_concentrated_router(mixture):
    with torch.no_grad():
        mixture.router.weight.zero_()
    _, uniform = mixture(torch.randn(64, 6))
    assert uniform.entropy.item() == pytest.approx(1.0, abs=1e-5)
    with torch.no_grad():
        mixture.router.weight[0] = mixture.router.weight[1] = 100.0
    _, concentrated = mixture(torch.rand(64, 6) + 0.1)
    assert concentrated.load.tolist() == pytest.approx([0.5, 0.5, 0, 0, 0, 0, 0, 0])
    assert concentrated.load.sum().item() == pytest.approx(1.0)
    assert concentrated.entropy.item() == pytest.approx(1 / 3, abs=1e-3)


def test_mixture_without_renormalization_weights_by_the_routers_probabilities(mixture):
    tokens = torch.randn(20, 6)
    scaled, routing = mixture(tokens)
    mixture.options = ExpertsConfig(blocks=(1,), renormalize=False)
    literal, _ = mixture(tokens)
    kept = routing.probabilities.gather(1, routing.chosen).sum(dim=1, keepdim=True)
    torch.testing.assert_close(literal, scaled * kept, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("k", [1, 3, 4])
def test_every_token_is_routed_to_k_experts(k):
    torch.manual_seed(0)
    mixture = MixtureOfExperts(6, 12, ExpertsConfig(blocks=(1,), experts=4, experts_per_token=k))
    with torch.no_grad():
        mixture.router.weight.zero_()
        mixture.router.weight[2] = 50.0
    output, routing = mixture(torch.rand(200, 6) + 0.1)
    assert routing.chosen.shape == (200, k) and (routing.chosen == 2).any(dim=1).all()
    assert (output.abs().sum(dim=1) > 0).all()


def test_router_noise_is_added_in_training_only():
    torch.manual_seed(0)
    mixture = MixtureOfExperts(6, 12, ExpertsConfig(blocks=(1,), router_noise=1.0))
    tokens = torch.randn(50, 6)
    assert not torch.equal(mixture(tokens)[1].probabilities, mixture(tokens)[1].probabilities)
    mixture.eval()
    assert torch.equal(mixture(tokens)[1].probabilities, mixture(tokens)[1].probabilities)


def test_router_computes_in_float32_under_autocast(mixture):
    with torch.autocast("cpu", torch.bfloat16):
        output, routing = mixture(torch.randn(10, 6))
    assert routing.probabilities.dtype == torch.float32 and output.dtype == torch.bfloat16


@pytest.mark.parametrize("kernel", [None, 3])
def test_expert_block_has_a_gradient_for_every_parameter(kernel):
    torch.manual_seed(1)
    block = ExpertBlock(6, 12, ExpertsConfig(blocks=(1,), experts=4), kernel=kernel)
    features, _ = block(torch.randn(2, 6, 6, 6, 6), torch.ones(2, 1, 6, 6, 6, dtype=torch.bool))
    features.square().sum().backward()
    for name, parameter in block.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name
