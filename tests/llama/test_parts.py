"""Each part computes what its slow or older twin computes."""

import pytest
import torch
from torch.nn import functional as F

from llmbook.attention import causal_attention, rotate
from llmbook.gpt import GPT, MLP, GPTConfig
from llmbook.llama import (
    Experts,
    GroupedAttention,
    Llama,
    LlamaConfig,
    RMSNorm,
    RopeScaling,
    SwiGLU,
    copying_start,
    grouped_attention,
    turn,
    turning_speeds,
)

from .peer import transformers


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


@pytest.mark.parametrize("shape", [(1, 1), (3, 7), (2, 5, 64), (4, 1, 2, 33)])
@pytest.mark.parametrize("eps", [1e-5, 1e-6, 0.1])
def test_rms_norm(shape, eps):
    x = torch.randn(shape) * 10
    ours, theirs = RMSNorm(shape[-1], eps), torch.nn.RMSNorm(shape[-1], eps)
    with torch.no_grad():
        theirs.weight.normal_()
        ours.weight.copy_(theirs.weight)
    torch.testing.assert_close(ours(x), theirs(x))


def test_rms_norm_sums_in_float32():
    x = torch.full((1, 4096), 300.0, dtype=torch.bfloat16)
    assert torch.equal(RMSNorm(4096).bfloat16()(x), torch.ones_like(x))
    assert RMSNorm(4)(x[:, :4]).dtype == torch.bfloat16  # beside float32 weights


@pytest.mark.parametrize("C", [8, 96, 128, 768])
def test_swiglu_has_as_many_numbers(C):
    def size(module):
        return sum(p.numel() for p in module.parameters())

    plain = size(MLP(GPTConfig(n_embd=C, n_head=1, bias=False)))
    assert plain <= size(SwiGLU(C)) < plain + 3 * C * 8
    assert size(SwiGLU(C, 10)) == 30 * C


@pytest.mark.parametrize("D", [2, 16, 98])
@pytest.mark.parametrize("start", [0, 7])
def test_turn_is_rotate(D, start):
    x = torch.randn(2, 3, 9, D)
    angles = torch.arange(start, start + 9)[:, None] * turning_speeds(D, 5000.0)
    torch.testing.assert_close(turn(x, angles), rotate(x, start, 5000.0))


SCALINGS = [None, RopeScaling(4.0, "linear"), RopeScaling(8.0, original=32)]


@pytest.mark.parametrize("scaling", SCALINGS)
def test_scores_know_distances_only(scaling):
    q, k = torch.randn(2, 1, 32).double()
    speeds = turning_speeds(32, 500.0, scaling).double()

    def score(s, t):
        return turn(q, s * speeds[None]) @ turn(k, t * speeds[None]).T

    for s, t in ((5, 5), (9, 2), (30, 0)):
        for further in (1, 40, 1000):
            torch.testing.assert_close(score(s, t), score(s + further, t + further))
    assert not torch.allclose(score(9, 2), score(9, 3))


def test_scaled_speeds():
    plain = turning_speeds(128, 5e5)
    assert torch.equal(turning_speeds(128, 5e5, RopeScaling(4.0, "linear")), plain / 4)
    scaled = turning_speeds(128, 5e5, RopeScaling(8.0))
    rounds = 2 * torch.pi / plain
    assert torch.equal(scaled[rounds < 2048], plain[rounds < 2048])
    assert torch.equal(scaled[rounds > 8192], plain[rounds > 8192] / 8)
    between = (rounds > 2048) & (rounds < 8192)
    assert (scaled[between] < plain[between]).all()
    assert (scaled[between] > plain[between] / 8).all()


def slow_attention(q, k, v, window):
    """One query at a time."""
    (H, T, D), (G, S) = q.shape[1:], k.shape[1:3]
    y = torch.zeros_like(q)
    for h in range(H):
        g = h // (H // G)
        for t in range(T):
            last = S - T + t
            first = 0 if window is None else max(0, last + 1 - window)
            keys, values = k[:, g, first : last + 1], v[:, g, first : last + 1]
            scores = (q[:, h, t, None] * keys).sum(-1) / D**0.5
            y[:, h, t] = (scores.softmax(-1)[..., None] * values).sum(1)
    return y


@pytest.mark.parametrize("window", [None, 1, 3, 8, 50])
@pytest.mark.parametrize("T, S", [(9, 9), (1, 9), (4, 9), (1, 1)])
@pytest.mark.parametrize("H, G", [(6, 6), (6, 2), (6, 1)])
def test_grouped_attention(H, G, T, S, window):
    q, k, v = (torch.randn(2, n, m, 8) for n, m in ((H, T), (G, S), (G, S)))
    expected = slow_attention(q, k, v, window)
    torch.testing.assert_close(grouped_attention(q, k, v, window), expected)
    if window is None:
        k, v = (each.repeat_interleave(H // G, dim=1) for each in (k, v))
        torch.testing.assert_close(causal_attention(q, k, v), expected)


def test_the_copies_learn_together():
    """The gradient of a shared key is the sum over the heads of its group."""
    q, k, v = (torch.randn(1, n, 5, 4, requires_grad=True) for n in (4, 2, 2))
    weights = torch.randn(1, 4, 5, 4)
    shared = torch.autograd.grad((grouped_attention(q, k, v) * weights).sum(), (k, v))
    many = [each.detach().repeat_interleave(2, 1).requires_grad_() for each in (k, v)]
    apart = torch.autograd.grad((causal_attention(q, *many) * weights).sum(), many)
    for one, two in zip(shared, apart, strict=True):
        torch.testing.assert_close(one, two.unflatten(1, (2, 2)).sum(2))


def test_qk_norm_forgets_sizes():
    config = LlamaConfig(n_head=2, n_embd=16, qk_norm=True)
    layer, x = GroupedAttention(config), torch.randn(1, 6, 16)
    before = layer(x)
    with torch.no_grad():
        layer.q_proj.weight.mul_(50)
        layer.k_proj.weight.mul_(3)
    torch.testing.assert_close(layer(x), before, atol=1e-3, rtol=1e-3)


MIXTURES = [(4, 1), (4, 2), (6, 6), (3, 2), (1, 1)]


def slow_experts(experts, tokens):
    said = []
    for token in tokens:
        chances = experts.gate(token).softmax(-1)
        best = chances.topk(experts.config.n_expert_active)
        weights = best.values
        if experts.config.sum_to_one:
            weights = weights / weights.sum()
        pairs = zip(weights, best.indices.tolist(), strict=True)
        said.append(sum(w * experts.experts[e](token) for w, e in pairs))
    return torch.stack(said)


def mixture(n, k, **changes):
    shape = {"n_head": 2, "n_embd": 12, "n_hidden": 20}
    return Experts(LlamaConfig(**shape, n_expert=n, n_expert_active=k, **changes))


@pytest.mark.parametrize("sum_to_one", [True, False])
@pytest.mark.parametrize("n, k", MIXTURES)
def test_experts(n, k, sum_to_one):
    experts = mixture(n, k, sum_to_one=sum_to_one, balance=0.0)
    x = torch.randn(2, 11, 12, requires_grad=True)
    fast, slow = experts(x), slow_experts(experts, x.flatten(0, 1)).view(x.shape)
    torch.testing.assert_close(fast, slow)
    weights = torch.randn_like(x)
    parameters = [x, *experts.parameters()]
    grads = (
        torch.autograd.grad((y * weights).sum(), parameters, materialize_grads=True)
        for y in (fast, slow)
    )
    for one, two in zip(*grads, strict=True):
        torch.testing.assert_close(one, two, atol=1e-5, rtol=1e-4)


def test_experts_that_nobody_visits():
    experts = mixture(5, 1)
    with torch.no_grad():
        experts.gate.weight.zero_()
        experts.gate.weight[3, 0] = 5.0
    x = torch.randn(1, 7, 12)
    x[..., 0] = 1.0
    torch.testing.assert_close(experts.eval()(x)[0], experts.experts[3](x[0]))
    experts.train()(x).sum().backward()
    assert experts.experts[3].up_proj.weight.grad.abs().sum() > 0
    for e in (0, 1, 2, 4):
        grad = experts.experts[e].up_proj.weight.grad
        assert grad is None or grad.count_nonzero() == 0


@pytest.mark.parametrize("scale", [1.0, 0.01])
def test_balance_is_in_the_gradient_alone(scale):
    """Whatever the loss is divided by, the balance counts the same."""
    experts = mixture(4, 2, balance=0.3)
    x, weights = torch.randn(2, 9, 12), torch.randn(2, 9, 12)
    chances, _, chosen = experts.route(x.flatten(0, 1))
    share = F.one_hot(chosen, 4).float().mean((0, 1))
    balance = 4 * (share * chances.mean(0)).sum()
    plain = mixture(4, 2, balance=0.0)
    plain.load_state_dict(experts.state_dict())
    loss = scale * (plain.train()(x) * weights).sum()
    (loss + 0.3 * balance).backward(inputs=[*plain.parameters()])
    extra = torch.autograd.grad(0.3 * balance, experts.gate.weight, retain_graph=True)
    shown = scale * (experts.train()(x) * weights).sum()
    assert shown.item() == pytest.approx(loss.item(), rel=1e-5)
    shown.backward()
    torch.testing.assert_close(
        experts.gate.weight.grad, plain.gate.weight.grad + extra[0]
    )


def test_no_balance_while_not_training():
    experts = mixture(4, 2, balance=100.0).eval()
    x = torch.randn(1, 9, 12)
    experts(0 * x).sum().backward()
    before = experts.gate.weight.grad.clone()
    assert before.abs().max() < 1e-6


@pytest.mark.parametrize("n, k", [(4, 1), (6, 2)])
def test_balance_is_transformers(n, k):
    """Theirs counts each of the k visits of a token as one, ours as a share of k."""
    from transformers.models.mixtral.modeling_mixtral import load_balancing_loss_func

    assert transformers
    experts = mixture(n, k)
    tokens = torch.randn(40, 12)
    chances, _, chosen = experts.route(tokens)
    share = chosen.flatten().bincount(minlength=n) / chosen.numel()
    ours = n * (share * chances.mean(0)).sum()
    theirs = load_balancing_loss_func((experts.gate(tokens),), n, k)
    torch.testing.assert_close(ours * k, theirs)


@pytest.mark.parametrize("n_kv_head", [4, 2, 1])
def test_the_copying_start(n_kv_head):
    """What all look at is handed on, at one size."""
    model = Llama(LlamaConfig(50, 16, 2, 4, 32, n_kv_head))
    copying_start(model, 0.5)
    assert model.embed_tokens.weight.std().item() == pytest.approx(0.5, rel=0.1)
    for layer in model.layers:
        values, out = layer.self_attn.v_proj.weight, layer.self_attn.o_proj.weight
        x = torch.randn(3, 32) @ values.T @ values  # what the values can hold of it
        heads = (x @ values.T).unflatten(-1, (n_kv_head, 8))
        heads = heads.repeat_interleave(4 // n_kv_head, dim=1).flatten(1)
        torch.testing.assert_close(heads @ out.T, 0.5 * x, atol=1e-4, rtol=1e-3)


def test_the_copying_start_of_a_gpt():
    model = GPT(GPTConfig(50, 16, 2, 4, 32))
    copying_start(model)
    for block in model.h:
        values = block.attn.c_attn.weight[64:]
        together = block.attn.c_proj.weight @ values
        torch.testing.assert_close(together, 0.2 * torch.eye(32), atol=1e-5, rtol=0)
    assert model.wpe.weight.std().item() == pytest.approx(0.2, rel=0.1)
