"""llmbook: a book that is also a library, from raw text to a model that follows instructions.

Import what you need from its rooms, for example `from llmbook.tokenizer import BPETokenizer`.
"""

__version__ = "0.1.0"
