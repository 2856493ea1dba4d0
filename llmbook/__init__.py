"""llmbook: a book that is also a library, from raw text to a model that answers.

Import what you need from its rooms: `from llmbook.tokenizer import BPETokenizer`.
"""

__version__ = "0.1.0"
