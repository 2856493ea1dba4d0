"""Rows, targets, new tokens, finetuning, answers."""

import json

import pytest
import torch
from torch import nn

from llmbook.data import NO_TARGET
from llmbook.gpt import GPT, GPTConfig
from llmbook.instruction import (
    OWN,
    TEMPLATES,
    InstructionDataset,
    add_control_tokens,
    comparing_start,
    conversations,
    finetune,
    lessons,
    load_chat,
    named_ids,
    respond,
    save_chat,
    teach,
)
from llmbook.llama import Llama, LlamaConfig
from llmbook.training import (
    END,
    TrainConfig,
    evaluate_loss,
    load_model,
    save_model,
    train,
)

TALK = [{"role": "user", "content": "Who?"}, {"role": "assistant", "content": "Pella."}]
LONG = [{"role": "user", "content": "w" * 500}, TALK[1]]


def test_a_row_has_its_answers_as_targets(words):
    """Inputs, targets one further on, and -100 for all that is not an answer."""
    data = InstructionDataset([TALK, TALK * 2], words, context_length=64)
    inputs, targets = data[0]
    ids, learned = OWN.encode(words, TALK)
    assert inputs.tolist() == ids[:-1]
    expected = [i if mark else NO_TARGET for i, mark in zip(ids, learned, strict=True)]
    assert targets.tolist() == expected[1:]
    assert targets[-1] == words.special_tokens["<|end|>"]
    assert (data[1][1] != NO_TARGET).sum() == 2 * (targets != NO_TARGET).sum()


def test_loss_on_all_learns_the_question_too(words):
    """Every token but the first."""
    data = InstructionDataset([TALK], words, context_length=64, loss_on="all")
    assert NO_TARGET not in data[0][1]


def test_a_plain_text_is_learned_whole(words):
    """With the end before and behind it."""
    inputs, targets = InstructionDataset(["The crow."], words, context_length=64)[0]
    assert inputs[0] == targets[-1] == words.special_tokens[END]
    assert words.decode(targets[:-1]) == "The crow."


def test_long_conversations_lose_their_last_turns(words):
    """And those of which nothing fits are counted."""
    turns = TALK * 40
    data = InstructionDataset([turns, LONG, "w" * 500], words, context_length=64)
    assert len(data) == 1 and data.left_out == 2
    assert len(data[0][0]) <= 64 and data[0][1][-1] == words.special_tokens["<|end|>"]


def test_batches_hold_each_row_once(words):
    """Padded at the end, with targets nowhere but in answers."""
    talks = list(conversations(40, seed=4))
    data = InstructionDataset(talks, words, context_length=400)
    total = sum(int((data[i][1] != NO_TARGET).sum()) for i in range(len(data)))
    end = words.special_tokens[END]
    for shuffle in (False, True):
        loader = data.loader(8, 400, shuffle=shuffle, end_token=end)
        batches = list(loader)
        assert sum(len(inputs) for inputs, _ in batches) == len(data)
        assert sum(int((t != NO_TARGET).sum()) for _, t in batches) == total
        assert all(inputs.shape == targets.shape for inputs, targets in batches)


def test_padding_changes_no_answer(words):
    """A row alone and a row beside a longer one have the same loss."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(words.n_vocab, 400, 1, 2, 32)).eval()
    talks = list(conversations(24, seed=4))
    data = InstructionDataset(talks, words, context_length=400)
    end = words.special_tokens[END]
    one, many = (evaluate_loss(model, data, size, 400, end) for size in (1, 12))
    assert one == pytest.approx(many, abs=1e-5)


def test_new_tokens_leave_the_old_ones_as_they_are(model, plain):
    """The logits of the old tokens stay, and model and tokenizer are new ones."""
    wider, words = add_control_tokens(model, plain)
    assert words.n_vocab == plain.n_vocab + 4 == wider.config.vocab_size
    assert model.config.vocab_size == plain.n_vocab
    ids = torch.tensor([plain.encode("The crow had the spoon.")])
    with torch.no_grad():
        assert torch.equal(wider(ids)[..., : plain.n_vocab], model(ids))
    assert wider.lm_head.weight is wider.wte.weight
    again, same = add_control_tokens(wider, words)
    assert same.special_tokens == words.special_tokens
    assert torch.equal(again.wte.weight, wider.wte.weight)
    with pytest.raises(ValueError, match="the model's own tokenizer"):
        add_control_tokens(model, words)


@pytest.mark.parametrize("tied", [False, True])
def test_new_tokens_for_a_llama(plain, tied):
    """Any model that is built from its config has its matrices widened."""
    config = LlamaConfig(plain.n_vocab, 64, 1, 2, 32, tied=tied)
    torch.manual_seed(0)
    llama = Llama(config).eval()
    wider, _ = add_control_tokens(llama, plain)
    ids = torch.tensor([plain.encode("The crow.")])
    with torch.no_grad():
        assert torch.allclose(wider(ids)[..., : plain.n_vocab], llama(ids), atol=1e-6)


def test_finetune_learns_and_leaves_the_old_model_alone(model, plain, tmp_path):
    """A few sentences, learned by heart; saved, loaded, asked."""
    before = model.wte.weight.clone()
    talks = [
        [{"role": "user", "content": q}, {"role": "assistant", "content": a}]
        for q, a in (("Who?", "Pella."), ("Where?", "In the shed."), ("Why?", "No."))
    ]
    settings = {"learning_rate": 0.01, "batch_size": 3, "precision": "float32"}
    new, words, history = finetune(model, plain, talks, 60, val=talks, **settings)
    assert torch.equal(model.wte.weight, before)
    assert history.finished and history.val_losses[-1] < 0.1
    assert respond(new, words, ["Why?", "Who?"]) == ["No.", "Pella."]
    assert respond(new, words, "Where?") == "In the shed."
    follow = [*talks[0], {"role": "user", "content": "Where?"}]
    assert isinstance(respond(new, words, follow), str)
    assert respond(new, words, [follow])[0] == respond(new, words, follow)
    save_model(tmp_path, new, words)
    assert respond(*load_model(tmp_path), "Where?") == "In the shed."


def test_a_run_that_was_stopped_goes_on(model, plain, tmp_path):
    """As chapter 8's do: to the same weights."""
    talks = list(conversations(60, seed=4))
    _, words = add_control_tokens(model, plain)
    end = words.special_tokens[END]

    def run(checkpoint, stop=None):
        torch.manual_seed(1)
        fresh, _ = add_control_tokens(model, plain)
        data = InstructionDataset(talks, words, context_length=96)
        config = TrainConfig(8, batch_size=4, end_token=end, checkpoint_every=4)

        def look(run):
            if run.step == stop:
                raise KeyboardInterrupt

        try:
            train(fresh, data, None, config, checkpoint=checkpoint, on_step=look)
        except KeyboardInterrupt:
            return None
        return fresh.wte.weight

    whole = run(tmp_path / "a")
    assert run(tmp_path / "b", stop=6) is None
    assert torch.equal(run(tmp_path / "b"), whole)


def test_long_batches_answer_as_single_ones(model, plain):
    """Whoever is asked beside whom, the answer is the same."""
    wider, words = add_control_tokens(model, plain)
    asked = ["Who?", "Where is the spoon now?", "a", "Why did Pella look?"] * 2
    together = respond(wider, words, asked, max_new_tokens=8, batch_size=3)
    assert together == [respond(wider, words, q, max_new_tokens=8) for q in asked]
    assert respond(wider, words, []) == []


def test_what_cannot_be_is_refused(model, plain, words):
    """In a sentence."""
    wider, own = add_control_tokens(model, plain)
    with pytest.raises(ValueError, match="leaves no room for an answer"):
        respond(wider, own, "w" * 500)
    with pytest.raises(ValueError, match="loss_on is 'questions'"):
        InstructionDataset([TALK], words, loss_on="questions")
    with pytest.raises(ValueError, match="no conversation fits"):
        InstructionDataset([LONG], words, context_length=32)
    data = InstructionDataset([TALK], words, context_length=64)
    with pytest.raises(ValueError, match="context_length=4"):
        data.loader(1, 4)


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_model_comes_back_with_its_template(name, plain, tmp_path):
    """The same weights, the same words, the same format."""
    template = TEMPLATES[name]
    torch.manual_seed(0)
    model = GPT(GPTConfig(plain.n_vocab, 200, n_layer=1, n_head=2, n_embd=32)).eval()
    pair = add_control_tokens(model, plain, (*template.control, END))
    save_chat(tmp_path, *pair, template)
    again, words, found = load_chat(tmp_path)
    assert found == template
    assert torch.equal(again.wte.weight, pair[0].wte.weight)
    asked = {"template": found, "max_new_tokens": 5}
    said = respond(*pair, "Who?", template=template, max_new_tokens=5)
    assert respond(again, words, "Who?", **asked) == said


def test_a_folder_without_a_template_is_refused(model, plain, tmp_path):
    """And one whose template is damaged, or not the tokenizer's."""
    save_model(tmp_path, model, plain)
    with pytest.raises(FileNotFoundError, match="continues texts"):
        load_chat(tmp_path)
    path = tmp_path / "chat_template.json"
    for text in ("[]", "{", '{"control": 3}', '{"control": [], "else": 1}'):
        path.write_text(text)
        with pytest.raises(ValueError, match="is no chat template"):
            load_chat(tmp_path)
    save_chat(tmp_path, model, plain)
    assert json.loads(path.read_text())["start"] == END
    with pytest.raises(ValueError, match="has no '<|system|>'".replace("|", "[|]")):
        load_chat(tmp_path)


def test_lessons_are_conversations_and_stories():
    """As many as are asked for, and all of different stories."""
    made = list(lessons(40, plain=0.25))
    plain = [each for each in made if isinstance(each, str)]
    assert len(made) == 40 and len(plain) == 10
    assert made[:30] == list(conversations(30))
    asked = {each[0]["content"] for each in made[:30]}
    assert not any(text in question for text in plain for question in asked)
    assert list(lessons(5, plain=0.0)) == list(conversations(5))


def test_teach_gives_two_lessons(plain):
    """One after the other: comparing, in larger batches, and then the questions."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(plain.n_vocab, 400, n_layer=1, n_head=2, n_embd=32)).eval()
    old, runs = {n: p.clone() for n, p in model.named_parameters()}, []

    def look(run):
        if run.step == 1:
            runs.append(run)

    new, words, history = teach(model, plain, 40, on_step=look, precision="float32")
    assert [run.config.batch_size for run in runs] == [16, 8]
    assert [run.config.n_steps for run in runs] == [1, 5]
    assert all(p.equal(old[n]) for n, p in model.named_parameters())
    assert history.finished and not new.training
    assert isinstance(respond(new, words, "Who?", max_new_tokens=3), str)
    with pytest.raises(ValueError, match="n is a whole number from 2"):
        teach(model, plain, 1)


def test_a_comparing_start_finds_the_same_token():
    """Of sixteen directions, each taken by two tokens, all are told apart, and both."""
    torch.manual_seed(0)
    model = GPT(GPTConfig(256, 16, n_layer=3, n_head=4, n_embd=64)).eval()
    axes = nn.init.orthogonal_(torch.empty(64, 64))[:16]
    with torch.no_grad():
        model.wte.weight[40:72] = torch.cat([axes, -axes])
        for block in model.h:
            block.attn.c_attn.bias.fill_(1.0)
    old = [block.attn.c_attn.weight.clone() for block in model.h]
    comparing_start(model, range(40, 72), size=3.0)
    for i, (block, before) in enumerate(zip(model.h, old, strict=True)):
        new = block.attn.c_attn.weight.detach()
        changed = (new != before).any(dim=1).nonzero()[:, 0].tolist()
        assert changed == ([*range(16), *range(64, 80)] if i < 2 else [])
        assert (block.attn.c_attn.bias == 0).nonzero()[:, 0].tolist() == changed
        if i < 2:
            rows = model.wte.weight[40:72].detach()
            scores = (rows @ new[:16].T) @ (rows @ new[64:80].T).T
            expected = 9 * torch.eye(16).repeat(2, 2)
            expected[:16, 16:] *= -1
            expected[16:, :16] *= -1
            torch.testing.assert_close(scores, expected, atol=1e-4, rtol=0)


def test_a_head_takes_as_many_tokens_as_it_has_numbers(model):
    """Fewer do not differ in so many directions; the model stays as it was."""
    before = model.h[0].attn.c_attn.weight.clone()
    with pytest.raises(ValueError, match="a head of 16 numbers takes 16 tokens"):
        comparing_start(model, range(15))
    assert model.h[0].attn.c_attn.weight.equal(before)


def test_named_ids_are_words(plain):
    """All that questions name, as far as a word is one token with its space."""
    found = [plain.decode([i]) for i in named_ids(plain)]
    assert " Tambo" in found and len(set(found)) == len(found)
    for word in ("Tambo", "Pella", "Hobla", "sock", "letter", "goose", "ermine"):
        assert (f" {word}" in found) == (len(plain.encode(f" {word}")) == 1)
    assert not {" in", " the", " snail", " Sunday"} & set(found)
