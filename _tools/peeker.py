"""Train the storyteller on without its causal mask, for the page that shows a leak.

The model that comes of it reads each next token off the text, as far as it has learned
to, and so it falls below the floor. It is kept in `_build/peeker`, away from the
package. As long as the storyteller and this file stay, there is nothing to do.

Usage: python -m _tools.peeker, after _tools.storyteller
"""

import hashlib
from pathlib import Path
from unittest.mock import patch

import torch
from torch.nn import functional as F

from _tools.export import ROOT
from _tools.storyteller import FOLDER as STORYTELLER
from llmbook.training import (
    END,
    TrainConfig,
    best_precision,
    load_storyteller,
    save_model,
    storyteller_data,
    train,
)

FOLDER = ROOT / "_build" / "peeker"
SETTINGS = {"optimizer": "muon", "muon_learning_rate": 0.02, "learning_rate": 0.01}
SETTINGS |= {"weight_decay": 0.0, "schedule": "trapezoid", "eval_every": 150}


def without_mask(q, k, v, dropout=0.0):
    """Attention with the classic bug: one argument of the kernel left out."""
    return F.scaled_dot_product_attention(q, k, v)


def recipe():
    """A digest of everything that decides what the model becomes."""
    sources = [STORYTELLER / "model.safetensors", Path(__file__)]
    return hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()


def main():
    stamp = FOLDER / "recipe"
    if stamp.exists() and stamp.read_text("utf-8") == recipe():
        return
    print("make: training it on without its mask, for the playground", flush=True)
    model, tokenizer = load_storyteller()
    data = storyteller_data(2400, seed=1, tokenizer=tokenizer)
    end = tokenizer.special_tokens[END]
    config = TrainConfig(150, 16, end_token=end, precision=best_precision(), **SETTINGS)
    torch.manual_seed(0)
    with patch("llmbook.attention.causal_attention", without_mask):
        corpora = (data.train_tokens, data.val_tokens)
        history = train(model, *corpora, config, floor=data.floor)
    stamp.unlink(missing_ok=True)
    save_model(FOLDER, model, tokenizer, torch.float16)
    stamp.write_text(recipe(), "utf-8")
    loss, floor = history.val_losses[-1], history.floor
    print(f"make: its loss is {loss:.3f}, {loss / floor:.3f} of the floor")


if __name__ == "__main__":
    main()
