"""Train chapter 8's model into the package's data, unless it is there already.

The same code makes the same model. So beside the model lies a digest of all the code
and text that it was made from, and as long as that stays, there is nothing to do.

Usage: python -m _tools.storyteller
"""

import hashlib

from _tools.export import ROOT
from llmbook.training import train_storyteller

PACKAGE = ROOT / "llmbook"
FOLDER = PACKAGE / "data" / "storyteller"
MODULES = "world", "tokenizer", "data", "attention", "gpt", "optim", "training"


def recipe():
    """A digest of everything that decides what the model becomes."""
    sources = [PACKAGE / f"{name}.py" for name in MODULES]
    sources.append(PACKAGE / "data" / "nursery.txt")
    return hashlib.sha256(b"".join(s.read_bytes() for s in sources)).hexdigest()


def main():
    stamp = FOLDER / "recipe"
    if stamp.exists() and stamp.read_text("utf-8") == recipe():
        print("make: the storyteller is there")
        return
    print("make: training the storyteller, which takes about five minutes", flush=True)
    FOLDER.mkdir(parents=True, exist_ok=True)
    stamp.unlink(missing_ok=True)
    _, _, history = train_storyteller(FOLDER)
    stamp.write_text(recipe(), "utf-8")
    loss, floor = history.val_losses[-1], history.floor
    print(f"make: its loss is {loss:.3f}, {loss / floor:.3f} of the floor")


if __name__ == "__main__":
    main()
