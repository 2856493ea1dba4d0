"""The terminal: commands, breaks, and texts that would command it."""

import io

import pytest

from llmbook.chat import Chat, chat_in_terminal, harmless


def run(chat, *lines):
    """What a terminal shows when these lines are typed; an exception is raised."""
    typed, shown = iter(lines), io.StringIO()

    def read(prompt):
        shown.write(prompt)
        line = next(typed, EOFError())
        if isinstance(line, BaseException):
            raise line
        return line

    chat_in_terminal(chat, read, shown)
    return shown.getvalue()


@pytest.fixture
def chat(model, words):
    return Chat(model, words, temperature=1.0, max_new_tokens=6)


def test_it_answers_until_the_end_of_input(chat):
    shown = run(chat, "Who?", "", "Where?")
    first, second = chat.messages[1]["content"], chat.messages[3]["content"]
    assert harmless(first) in shown and harmless(second) in shown
    assert shown.count("[cut off: no more tokens]") == 2


def test_commands(chat):
    shown = run(chat, "/help", "/set", "/set top_k 1", "/system Be kind.", "Who?")
    assert "/set NAME VALUE" in shown and "temperature 1.0" in shown
    assert chat.settings["top_k"] == 1
    assert chat.messages[0] == {"role": "system", "content": "Be kind."}
    assert "likeliest" in run(chat, "/tokens")
    run(chat, "/set top_k none")
    before = chat.messages[-1]["content"]
    run(chat, "/again")
    assert len(chat.messages) == 3 and chat.messages[-1]["content"] != before
    run(chat, "/undo")
    assert len(chat.messages) == 1
    run(chat, "Who?", "/reset")
    assert len(chat.messages) == 1
    assert "> " in run(chat, "/quit", "Never asked")
    assert len(chat.messages) == 1


def test_errors_are_a_line_and_the_chat_goes_on(chat):
    shown = run(chat, "/set heat 3", "/set temperature -1", "/set top_k x", "Who?")
    assert "[a chat has no setting 'heat'" in shown
    assert "[temperature is -1" in shown and "[top_k is 'x'" in shown
    assert "[the system prompt and the last message" in run(chat, "goose " * 200)
    assert len(chat.messages) == 2


def test_ctrl_c_stops_an_answer_and_not_the_chat(chat, monkeypatch):
    write = chat.writer.write

    def breaking(reply, stop):
        for n, token in enumerate(write(reply, stop)):
            if n == 3:
                raise KeyboardInterrupt
            yield token

    monkeypatch.setattr(chat.writer, "write", breaking)
    shown = run(chat, "Who?")
    assert "[stopped]" in shown and len(chat.messages) == 2
    monkeypatch.undo()
    run(chat, "Where?")
    assert len(chat.messages) == 4


def test_ctrl_c_at_the_prompt_ends_it(chat):
    assert run(chat, KeyboardInterrupt(), "Never asked") and not chat.messages


def test_dropped_turns_are_said(chat):
    assert "[no room for the first" in run(chat, *["Who lent the anchor?"] * 12)


def test_no_text_commands_the_terminal():
    assert harmless("a\x1b[2J\r\x07\x9b\u202eb\n") == "a\\x1b[2J\\r\\x07\\x9b\\u202eb\n"
    assert harmless("Grüße, 鹅 🦆") == "Grüße, 鹅 🦆"
