"""A row is written as if it were alone, with a cache and without."""

import pytest
import torch

from llmbook.generation import generate, sample_next, stream

from .conftest import CONTEXT, VOCAB

PROMPTS = [[5, 6, 7], [1], list(range(40)), [3] * 20, [9] * CONTEXT]
KNOBS = [
    {"temperature": 0},
    {"seed": 3},
    {"seed": 4, "top_k": 5, "repetition_penalty": 1.3},
    {"seed": 5, "top_p": 0.7, "temperature": 1.5},
    {"seed": 6, "min_p": 0.2},
]
N_NEW = 45  # more than the context holds


def for_row(knobs, row):
    """The same knobs for a row that is alone."""
    return {**knobs, "seed": knobs["seed"] + row} if "seed" in knobs else knobs


@pytest.fixture(scope="module", params=KNOBS, ids=str)
def knobs(request):
    return request.param


@pytest.fixture(scope="module")
def written(model, knobs):
    return generate(model, PROMPTS, N_NEW, **knobs)


def test_without_cache_it_writes_the_same(model, knobs, written):
    assert generate(model, PROMPTS, N_NEW, use_cache=False, **knobs) == written
    assert [len(ids) for ids in written] == [N_NEW] * len(PROMPTS)


def test_rows_do_not_know_of_each_other(model, knobs, written):
    for row, prompt in enumerate(PROMPTS):
        alone = generate(model, [prompt], N_NEW, **for_row(knobs, row))
        assert alone == [written[row]]


def test_streaming_gives_the_same(model, knobs, written):
    for row, prompt in enumerate(PROMPTS):
        ids = stream(model, prompt, N_NEW, **for_row(knobs, row))
        assert list(ids) == written[row]


def test_stops_cut_and_leave_the_rest_alone(model, knobs, written):
    first, second, third = written[0], written[1], written[2]
    stops = [first[3:5], second[9], third[30:33], [VOCAB - 1] * 3]
    cut = generate(model, PROMPTS, N_NEW, stop=stops, **knobs)
    sequences = [each if isinstance(each, list) else [each] for each in stops]
    for row, (short, long) in enumerate(zip(cut, written, strict=True)):
        ends = [
            (end, -len(s))
            for s in sequences
            for end in range(len(s), N_NEW + 1)
            if long[end - len(s) : end] == s
        ]
        end, minus = min(ends, default=(N_NEW, 0))
        assert short == long[: end + minus]
        ids = stream(model, PROMPTS[row], N_NEW, stop=stops, **for_row(knobs, row))
        assert list(ids) == short
    assert any(len(ids) < N_NEW for ids in cut)


def test_greedy_is_the_slow_loop(model):
    """No cache, no batch, no window: the longest logit, again and again."""
    model.eval()
    ids = [5, 6, 7]
    with torch.no_grad():
        for _ in range(CONTEXT - 3):
            ids.append(int(model(torch.tensor([ids]))[0, -1].argmax()))
    new = generate(model, [[5, 6, 7]], CONTEXT - 3, temperature=0)
    assert new == [ids[3:]]


def test_the_context_slides_as_documented(model):
    """When it is full, the older half is dropped; a long prompt's end is read."""
    model.eval()
    prompt = [i % VOCAB for i in range(50)]
    seen, new = prompt[-CONTEXT:], []
    with torch.no_grad():
        for _ in range(70):
            if len(seen) > CONTEXT:
                seen = seen[-(CONTEXT // 2) :]
            logits = model(torch.tensor([seen]))[:, -1]
            seen.append(int(sample_next(logits, temperature=0)))
            new.append(seen[-1])
    assert generate(model, [prompt], 70, temperature=0) == [new]
    assert generate(model, [prompt[-CONTEXT:]], 70, temperature=0) == [new]


def test_a_context_of_one_token_goes_on():
    from llmbook.gpt import GPT, GPTConfig

    torch.manual_seed(0)
    model = GPT(GPTConfig(VOCAB, 1, 1, 2, 8))
    written = generate(model, [[3, 4]], 5, seed=1)
    assert len(written[0]) == 5
    assert written == generate(model, [[3, 4]], 5, seed=1, use_cache=False)


def test_tensors_and_lists_are_the_same(model):
    rows = [[1, 2, 3], [4, 5, 6]]
    wanted = generate(model, rows, 6, seed=0)
    assert generate(model, torch.tensor(rows), 6, seed=0) == wanted
    assert generate(model, [torch.tensor(row) for row in rows], 6, seed=0) == wanted
    assert generate(model, iter(rows), 6, seed=0) == wanted
    assert list(stream(model, torch.tensor(rows[0]), 6, seed=0)) == wanted[0]


def test_seeds(model):
    prompts = [[1], [1]]
    one, two = generate(model, prompts, 8, seed=7)
    assert one != two
    assert generate(model, prompts, 8, seed=[8, 7]) == [two, one]
    torch.manual_seed(0)
    first = generate(model, prompts, 8)
    assert generate(model, prompts, 8) != first
    torch.manual_seed(0)
    assert generate(model, prompts, 8) == first


def test_no_tokens_are_asked_for(model):
    assert generate(model, [[1], [2, 3]], 0) == [[], []]
    assert list(stream(model, [1], 0)) == []


def test_the_model_is_left_as_it_was(model):
    model.train()
    model.h[1].eval()  # such as a part that is frozen
    modes = [module.training for module in model.modules()]
    weights = [parameter.clone() for parameter in model.parameters()]
    first = generate(model, [[1, 2]], 5, temperature=0)
    assert [module.training for module in model.modules()] == modes
    ids = stream(model, [1, 2], 5, temperature=0)
    assert next(ids) == first[0][0]  # without dropout
    ids.close()  # a reader who goes away
    assert [module.training for module in model.modules()] == modes
    with pytest.raises(ValueError, match="NaN"):
        with torch.no_grad():
            model.ln_f.weight.fill_(torch.nan)
        generate(model, [[1, 2]], 5)
    assert [module.training for module in model.modules()] == modes
    with torch.no_grad():
        for parameter, weight in zip(model.parameters(), weights, strict=True):
            parameter.copy_(weight)
    assert all(parameter.grad is None for parameter in model.parameters())
    model.eval()


def test_no_gradient_is_kept(model):
    seen = []
    hook = model.lm_head.register_forward_hook(lambda *call: seen.append(call[2]))
    generate(model, [[1, 2]], 3, seed=0)
    list(stream(model, [1, 2], 3, seed=0))
    hook.remove()
    assert seen and not any(logits.requires_grad for logits in seen)
    assert torch.is_grad_enabled()
    ids = stream(model, [1, 2], 3, seed=0)
    next(ids)
    assert torch.is_grad_enabled()  # between two tokens too
    ids.close()


def test_only_the_last_position_gets_logits(model):
    shapes = []
    hook = model.lm_head.register_forward_hook(
        lambda *call: shapes.append(call[2].shape)
    )
    generate(model, [[1] * 9, [2] * 4], 3, seed=0)
    hook.remove()
    assert {len(shape) for shape in shapes} == {2}
    assert sum(shape[0] for shape in shapes) <= 2 * 3 + 3
