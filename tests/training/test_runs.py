"""A run goes where it should: in one piece or in several, in any number of batches."""

import json
import shutil
import signal
import sys
import threading
import time
import types
from itertools import pairwise

import pytest
import torch
from torch.nn import functional as F

from llmbook import training
from llmbook.data import token_loader
from llmbook.gpt import GPT, GPTConfig, count_flops
from llmbook.training import (
    History,
    Run,
    TrainConfig,
    evaluate_loss,
    flops_per_token,
    train,
)
from tests.training.conftest import same_weights


class Stop(Exception):
    """What ends a run in the middle of things."""


def stop_after(step):
    def stop(run):
        if run.step == step:
            raise Stop

    return stop


def facts(history):
    """What a history says, but for its times."""
    content = json.loads(history.to_json())
    return {name: content[name] for name in content if name != "seconds"}


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"optimizer": "muon"},
        {"precision": "bfloat16", "optimizer": "muon"},
        {"accumulation_steps": 3},
        {"end_token": None, "context_length": 16, "schedule": "linear"},
        {"batch_size": 50},  # six batches an epoch
    ],
    ids=str,
)
def test_resumed_equals_uninterrupted(changes, data, build, settings, tmp_path):
    config = settings(eval_every=4, checkpoint_every=5, **changes)
    corpora = (data.train_tokens, data.val_tokens)
    whole = build(dropout=0.1)
    history = train(whole, *corpora, config, floor=data.floor)
    path = tmp_path / "run.safetensors"
    for step in (3, 6, 11):
        with pytest.raises(Stop):
            train(
                build(dropout=0.1),
                *corpora,
                config,
                checkpoint=path,
                on_step=stop_after(step),
            )
        torch.manual_seed(step)  # nothing may depend on what is left over
    pieces = build(dropout=0.1)
    resumed = train(pieces, *corpora, config, checkpoint=path, floor=data.floor)
    assert same_weights(whole, pieces)
    assert facts(resumed) == facts(history)
    assert resumed.finished and len(resumed.losses) == config.n_steps
    assert all(
        a < b for a, b in zip(resumed.seconds, resumed.seconds[1:], strict=False)
    )


def test_a_finished_run_is_not_run_again(data, build, settings, tmp_path):
    path, config = tmp_path / "run.safetensors", settings(3)
    model = build()
    first = train(model, data.train_tokens, None, config, checkpoint=path)
    other, calls = build(), []
    again = train(
        other, data.train_tokens, None, config, checkpoint=path, on_step=calls.append
    )
    assert not calls and same_weights(model, other)
    assert again == first and again.finished


def test_dropout_and_order_grow_from_the_seed(data, build, settings):
    losses = [
        train(
            build(dropout=0.1), data.train_tokens, None, settings(3, seed=seed)
        ).losses
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


def test_accumulation_equals_the_large_batch(data, build, settings):
    """Rows of unlike length: the mean of means would be another gradient."""
    config = settings()
    large, small = (Run(build(), data.train_tokens, config) for _ in range(2))
    end = config.end_token
    batches = list(
        token_loader(data.train_tokens[:900], 2, 128, shuffle=False, end_token=end)
    )
    width = max(inputs.shape[1] for inputs, _ in batches)
    joined = [
        torch.cat(
            [F.pad(part, (0, width - part.shape[1]), value=fill) for part in parts]
        )
        for parts, fill in zip(zip(*batches, strict=True), (end, -100), strict=True)
    ]
    loss, n_targets = large.gradient([joined])
    pieces, count = small.gradient(batches)
    assert n_targets == count == 900
    torch.testing.assert_close(loss, pieces)
    for p, q in zip(large.model.parameters(), small.model.parameters(), strict=True):
        torch.testing.assert_close(p.grad, q.grad, rtol=1e-4, atol=1e-7)
    means = []
    for batch in batches:
        small.model.zero_grad()
        means.append(small.gradient([batch])[0])
    assert abs(torch.stack(means).mean() - loss) > 1e-4


def test_accumulated_training_equals_training(data, build, settings):
    windows = {"end_token": None, "context_length": 32}
    tokens = data.train_tokens[: 32 * 12 * 8 + 1]
    models = [build(), build()]
    histories = [
        train(model, tokens, None, settings(8, **shape, **windows))
        for model, shape in zip(
            models,
            ({"batch_size": 12}, {"batch_size": 3, "accumulation_steps": 4}),
            strict=True,
        )
    ]
    assert histories[0].losses == pytest.approx(histories[1].losses, rel=1e-5)
    for p, q in zip(*(model.parameters() for model in models), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("windows", [True, False])
def test_evaluate_loss_equals_a_slow_reference(windows, data, build):
    model, T = build(dropout=0.5), 16
    tokens, end = (
        data.val_tokens[:330].tolist(),
        data.tokenizer.special_tokens["<|endoftext|>"],
    )
    rows = [tokens[i : i + T + 1] for i in range(0, len(tokens) - 1, T)]
    if not windows:
        T, rows, row = 128, [], [end]
        for token in tokens:
            row.append(token)
            if token == end:
                rows.append(row)
                row = [end]
        rows += [row] if len(row) > 1 else []
    model.eval()
    total, count = 0.0, 0
    for row in rows:
        if windows and len(row) < T + 1:  # the last window is a full one
            row = tokens[-T - 1 :]
            old = T - (len(tokens) - 1) % T
        else:
            old = 0
        with torch.no_grad():
            logits = model(torch.tensor([row[:-1]])).double().log_softmax(-1)[0]
        for t in range(old, len(row) - 1):
            total, count = total - logits[t, row[t + 1]].item(), count + 1
    assert count == len(tokens) - windows
    model.train()
    option = {} if windows else {"end_token": end}
    loss = evaluate_loss(model, tokens, 3, T, **option)
    assert loss == pytest.approx(total / count, rel=1e-6)
    assert model.training
    assert loss == evaluate_loss(model, tokens, 3, T, **option)
    assert loss == pytest.approx(
        evaluate_loss(model, tokens, 50, T, **option), rel=1e-6
    )


def test_modes_are_left_as_they_were(data, build):
    """Prevents a frozen part from being woken up by a measurement."""
    model = build(dropout=0.5)
    model.train()
    model.h[0].attn.eval()
    before = [module.training for module in model.modules()]
    evaluate_loss(model, data.val_tokens[:200], 2, 16)
    assert [module.training for module in model.modules()] == before
    assert True in before and False in before


@pytest.fixture
def late(monkeypatch):
    """Losses come in as from a GPU: only when somebody waits for them."""
    monkeypatch.setitem(training.PATIENCE, "cpu", 10)


def test_late_losses_are_entered_in_order(late, data, build, settings):
    run = Run(build(), data.train_tokens, settings(12))
    for _ in range(9):
        run.advance()
    assert run.history.losses == [] and len(run.waiting) == 9
    run.advance()
    assert len(run.history.losses) == 10 and not run.waiting
    run.advance()
    training.settle(run)
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(training.PATIENCE, "cpu", 1)
        prompt = train(build(), data.train_tokens, None, settings(12))
    for name in ("losses", "grad_norms", "learning_rates", "tokens"):
        assert getattr(run.history, name) == getattr(prompt, name)[:11]


class Slow(float):
    """A loss that takes a while to come."""

    def __float__(self):
        time.sleep(0.1)
        return 1.0


@pytest.mark.parametrize("eval_every", [None, 2])
def test_waiting_for_losses_is_training(
    eval_every, late, data, build, settings, monkeypatch
):
    """Prevents a speed that leaves out what a GPU has still to do."""
    gradient = Run.gradient
    slow = lambda run, batches: (Slow(), gradient(run, batches)[1])  # noqa: E731
    monkeypatch.setattr(Run, "gradient", slow)
    config = settings(5, eval_every=eval_every)
    history = train(build(), data.train_tokens, data.val_tokens[:200], config)
    assert all(b - a >= 0.1 for a, b in pairwise(history.seconds))
    assert history.tokens_per_second < history.tokens[-1] / 0.5


def test_late_histories_are_drawn(late, data, build, settings):
    drawn = []

    def draw(run):
        if run.step == 4:
            drawn.append(repr(run.history.plot()))

    config = settings(5, eval_every=2)
    train(build(), data.train_tokens, data.val_tokens, config, on_step=draw)
    assert "training: " in drawn[0] and "at 4 steps" in drawn[0]


def test_half_precision_stays_close(data, build, settings):
    losses = [
        train(build(), data.train_tokens, None, settings(8, precision=name)).losses
        for name in ("float32", "bfloat16")
    ]
    assert losses[0] != losses[1]
    assert losses[0] == pytest.approx(losses[1], rel=0.02)
    assert losses[1][-1] < losses[1][0]


@pytest.mark.skipif(not shutil.which("g++"), reason="compiling for a CPU needs g++")
def test_compiled_and_resumed(data, build, settings, tmp_path):
    windows = {"end_token": None, "context_length": 16, "checkpoint_every": 2}
    corpora, path = (data.train_tokens, None), tmp_path / "run.safetensors"
    plain = train(build(), *corpora, settings(6, **windows))
    with pytest.raises(Stop):
        config = settings(6, **windows)
        train(build(), *corpora, config, checkpoint=path, on_step=stop_after(3))
    config = settings(6, compile=True, **windows)
    resumed = train(build(), *corpora, config, checkpoint=path)
    assert resumed.losses[:2] == plain.losses[:2]
    assert resumed.losses == pytest.approx(plain.losses, rel=1e-4)


def test_learning_rates_rise_and_fall():
    def rates(**changes):
        given = {"warmup_steps": 4, "final_learning_rate": 1e-4, **changes}
        config = TrainConfig(20, learning_rate=1e-3, **given)
        return [config.rate(step) for step in range(21)]

    for schedule in ("cosine", "linear", "trapezoid", "constant"):
        found = rates(schedule=schedule)
        assert found[:4] == pytest.approx([2.5e-4, 5e-4, 7.5e-4, 1e-3])
        assert found[4] == max(found)
        assert all(a >= b for a, b in pairwise(found[4:]))
        end = 1e-3 if schedule == "constant" else 1e-4
        assert found[20] == pytest.approx(end)
    flat = rates(schedule="trapezoid")
    assert flat[12] == pytest.approx(1e-3) and flat[16] == pytest.approx(5.5e-4)


def test_a_run_follows_its_rates(data, build, settings):
    config = settings(8, optimizer="muon", muon_learning_rate=0.01)
    seen = []
    history = train(
        build(),
        data.train_tokens,
        None,
        config,
        on_step=lambda run: seen.append(
            [group["lr"] for o in run.optimizers for group in o.param_groups]
        ),
    )
    assert history.learning_rates == [config.rate(step) for step in range(8)]
    for rate, used in zip(history.learning_rates, seen, strict=True):
        share = rate / config.learning_rate
        assert used[:-1] == pytest.approx([rate] * (len(used) - 1))
        assert used[-1] == pytest.approx(share * 0.01)


def test_a_long_gradient_is_cut(data, build, settings):
    moved = []
    for clip in (None, 1e-9):
        config = settings(1, grad_clip=clip, warmup_steps=0, weight_decay=0.0)
        run = Run(build(), data.train_tokens, config)
        loss, _ = run.gradient([next(run.batches)])
        run.model.zero_grad()
        before = [p.clone() for p in run.model.parameters()]
        run.advance()
        pairs = zip(before, run.model.parameters(), strict=True)
        moved.append(max((a - b).abs().max().item() for a, b in pairs))
        assert run.history.grad_norms[0] > 1e-3  # told before it is cut
        assert torch.isfinite(loss)
    assert moved[1] < 0.5 * moved[0]


@pytest.mark.parametrize("again", [False, True])
def test_interrupted_runs_stop_cleanly(again, data, build, settings, tmp_path, capfd):
    config, path = settings(10), tmp_path / "run.safetensors"
    corpora = (data.train_tokens, data.val_tokens)
    whole, cut = build(), build()
    expected = train(whole, *corpora, config)

    def interrupt(run):
        if run.step == 4:
            signal.raise_signal(signal.SIGINT)
            if again:
                signal.raise_signal(signal.SIGINT)

    before = signal.getsignal(signal.SIGINT)
    if again:
        with pytest.raises(KeyboardInterrupt):
            train(cut, *corpora, config, checkpoint=path, on_step=interrupt)
    else:
        history = train(cut, *corpora, config, checkpoint=path, on_step=interrupt)
        assert not history.finished and len(history.losses) == 4
        told = capfd.readouterr().err
        assert "stopped after step 4 of 10; the same call goes on from" in told
    assert signal.getsignal(signal.SIGINT) is before
    resumed = build()
    history = train(resumed, *corpora, config, checkpoint=path)
    assert facts(history) == facts(expected) and same_weights(resumed, whole)


def test_training_in_a_thread(data, build, settings):
    """Only the main thread may listen to Ctrl-C; others train all the same."""
    found = []
    work = lambda: found.append(  # noqa: E731
        train(build(), data.train_tokens, None, settings(2))
    )
    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert found[0].finished


def test_progress_is_shown_on_demand(data, build, settings, capfd):
    config = settings(3)
    train(build(), data.train_tokens, None, config)
    assert capfd.readouterr().err == ""
    train(build(), data.train_tokens, None, config, floor=0.31, progress=True)
    shown = capfd.readouterr().err
    assert "3/3" in shown and "(floor 0.310)" in shown
    assert "tokens/s" in shown and "% of peak" in shown


def test_progress_does_not_change_the_run(data, build, settings, capfd):
    runs = [
        train(build(dropout=0.1), data.train_tokens, None, settings(3), progress=shown)
        for shown in (True, False)
    ]
    assert runs[0].losses == runs[1].losses
    capfd.readouterr()


def test_histories_go_to_json_and_back(data, build, settings):
    history = train(
        build(),
        data.train_tokens,
        data.val_tokens,
        settings(6, eval_every=2),
        floor=0.3,
    )
    assert History.from_json(history.to_json()) == history
    assert history.val_steps == [0, 2, 4, 6]
    assert history.val_losses[-1] < history.val_losses[0]
    assert history.tokens_per_second > 0
    assert 0 < history.utilisation() < 1
    assert history.utilisation(1e12) == pytest.approx(
        history.tokens_per_second * history.flops_per_token / 1e12
    )
    for text in ("{", "[]", '{"no": 1}'):
        with pytest.raises(ValueError, match="this is no history of a run"):
            History.from_json(text)


@pytest.mark.parametrize("rotary", [True, False])
def test_the_work_counted_is_that_of_the_shape(rotary):
    """Prevents two counts of the same work, of a model and of its shape."""
    config = GPTConfig(50, 32, n_layer=3, n_head=2, n_embd=16, rotary=rotary)
    for T in (1, 20, 32):
        counted = flops_per_token(GPT(config), T)
        assert counted == count_flops(config, T, training=True)


def test_histories_are_drawn(data, build, settings):
    validated = train(
        build(),
        data.train_tokens,
        data.val_tokens,
        settings(6, eval_every=2),
        floor=0.3,
    )
    text = repr(validated.plot())
    assert "training: " in text and "validation: " in text and "floor: 0.300" in text
    plain = train(build(), data.train_tokens, None, settings(7))
    last = sum(plain.losses[3:6]) / 3  # of places 3 and 6; the seventh is left over
    assert f"{last:.3f} at 6 steps" in repr(plain.plot(points=3))
    with pytest.raises(ValueError, match="nothing to draw"):
        History().plot()


class Writer(list):
    """What stands in for TensorBoard's writer where there is none."""

    def __init__(self, folder, purge_step):
        made.append(self)

    def add_scalar(self, name, value, step):
        self.append((name, value, step))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.closed = True


made: list[Writer] = []


@pytest.mark.parametrize("patience", [1, 3, 10])
def test_late_losses_are_logged(patience, data, build, settings, monkeypatch):
    """Prevents a log without the updates at the end, which come late from a GPU."""
    tensorboard = types.ModuleType("torch.utils.tensorboard")
    tensorboard.SummaryWriter = Writer
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", tensorboard)
    monkeypatch.setitem(training.PATIENCE, "cpu", patience)
    history = train(build(), data.train_tokens, None, settings(7), tensorboard="none")
    logged = [row[1:] for row in made[-1] if row[0] == "loss/training"]
    assert logged == [(loss, i) for i, loss in enumerate(history.losses, 1)]
    assert len(logged) == 7 and made[-1].closed


def test_tensorboard(data, build, settings, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    config = settings(4, eval_every=3)
    history = train(
        build(), data.train_tokens, data.val_tokens, config, tensorboard=tmp_path
    )
    events = EventAccumulator(str(tmp_path))
    events.Reload()
    logged = events.Scalars("loss/training")
    assert [event.step for event in logged] == [1, 2, 3, 4]
    assert [event.value for event in logged] == pytest.approx(history.losses)
    assert [event.step for event in events.Scalars("loss/validation")] == [0, 3, 4]
