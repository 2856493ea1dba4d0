"""The server: the protocol, its errors, who leaves, who waits, and how it ends."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

import openai
import pytest

from llmbook.chat import Chat, ChatServer

USER = [{"role": "user", "content": "Who lent the anchor?"}]


@pytest.fixture(scope="module")
def server(model, words):
    with ChatServer(model, words, port=0, n_seats=3) as server:
        yield server


@pytest.fixture
def long_server(long_model, words):
    with ChatServer(long_model, words, port=0, n_seats=2) as server:
        yield server


@pytest.fixture
def client(server):
    with openai.OpenAI(base_url=server.url, api_key="none", max_retries=0) as client:
        yield client


def connect(server):
    host, port = server.server_address
    return http.client.HTTPConnection(host, port, timeout=20)


def post(server, body, headers=(), path="/v1/chat/completions"):
    """Status and JSON of an answer."""
    connection = connect(server)
    body = body if isinstance(body, (bytes, str)) else json.dumps(body)
    headers = {"Content-Type": "application/json", **dict(headers)}
    connection.request("POST", path, body, headers)
    response = connection.getresponse()
    answer = json.loads(response.read())
    connection.close()
    return response.status, answer


def asked(**changes):
    return {"model": "llmbook", "messages": USER, "max_tokens": 8, **changes}


def until(true, seconds=10):
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if true():
            return True
        time.sleep(0.02)
    return False


def test_the_official_client_gets_what_a_chat_says(server, client, model, words):
    chat = Chat(model, words, temperature=1.0, seed=6, max_new_tokens=20)
    want = chat.ask(USER[0]["content"])  # the first turn draws with seed 7
    ways = {"model": "llmbook", "messages": USER, "temperature": 1, "seed": 7}
    whole = client.chat.completions.create(**ways, max_completion_tokens=20)
    assert whole.choices[0].message.content == want.text
    assert whole.choices[0].finish_reason == "length" and whole.object
    assert whole.usage.prompt_tokens == len(want.prompt)
    assert whole.usage.completion_tokens == 20 and whole.usage.total_tokens
    options = {"stream_options": {"include_usage": True}}
    events = list(
        client.chat.completions.create(**ways, max_tokens=20, stream=True, **options)
    )
    assert len({event.id for event in events}) == 1
    assert events[0].choices[0].delta.role == "assistant"
    pieces = [e.choices[0].delta.content or "" for e in events if e.choices]
    assert "".join(pieces) == want.text and len(pieces) > 10
    assert [e.choices[0].finish_reason for e in events if e.choices][-1] == "length"
    assert not events[-1].choices and events[-1].usage.completion_tokens == 20
    assert events[-1].usage.prompt_tokens_details.cached_tokens > 0


def test_other_knobs_and_forms(client, server):
    parts = [{"type": "text", "text": "Who lent "}, {"type": "text", "text": "it?"}]
    system = {"role": "developer", "content": "Be kind."}
    answer = client.chat.completions.create(
        model="llmbook",
        messages=[system, {"role": "user", "content": parts}],
        max_tokens=8,
        n=1,
        user="me",
        frequency_penalty=0,
        logit_bias={},
        extra_body={"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.2},
    )
    assert answer.usage.completion_tokens == 8
    text = answer.choices[0].message.content
    one = [system, {"role": "user", "content": "Who lent it?"}]
    knobs = {"top_k": 3, "min_p": 0.1, "repetition_penalty": 1.2}
    _, again = post(server, asked(messages=one, **knobs))
    assert again["choices"][0]["message"]["content"] == text  # greedy unless asked
    _, cut = post(server, asked(messages=one, stop=text[3:5], **knobs))
    assert cut["choices"][0]["message"]["content"] == text[: text.index(text[3:5])]
    assert cut["choices"][0]["finish_reason"] == "stop"


def test_models(client, server):
    assert [model.id for model in client.models.list()] == ["llmbook"]
    assert client.models.retrieve("llmbook").owned_by == "llmbook"
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("other")
    assert caught.value.code == "model_not_found"


def test_one_connection_serves_many_requests(server):
    connection = connect(server)
    for _ in range(3):
        connection.request("GET", "/v1/models")
        assert json.loads(connection.getresponse().read())["object"] == "list"
    connection.close()


DEEP = '{"a":' * 100_000
BAD = {
    "no JSON": ("{", 400, None, None),
    "not UTF-8": (b"\xff\xfe", 400, None, None),
    "deep": (DEEP, 400, None, None),
    "a list": ("[]", 400, None, None),
    "nothing": ("", 400, None, None),
    "NaN": (asked(temperature=float("nan")), 400, "temperature", "invalid_value"),
    "no model": ({"messages": USER}, 400, "model", None),
    "no messages": ({"model": "llmbook"}, 400, "messages", None),
    "other model": (asked(model="gpt-9"), 404, "model", "model_not_found"),
    "model of a wrong type": (asked(model=3), 400, "model", "invalid_value"),
    "empty": (asked(messages=[]), 400, "messages", None),
    "a text": (asked(messages="hi"), 400, "messages", "invalid_value"),
    "message no object": (asked(messages=["hi"]), 400, "messages[0]", None),
    "role": (
        asked(messages=[{"role": "tool", "content": ""}]),
        400,
        "messages[0].role",
        None,
    ),
    "role of a wrong type": (
        asked(messages=[{"role": ["user"], "content": ""}]),
        400,
        "messages[0].role",
        None,
    ),
    "content": (
        asked(messages=[{"role": "user", "content": 3}]),
        400,
        "messages[0].content",
        None,
    ),
    "picture": (
        asked(messages=[{"role": "user", "content": [{"type": "image_url"}]}]),
        400,
        "messages[0].content",
        None,
    ),
    "late system": (
        asked(messages=[*USER, {"role": "system", "content": ""}]),
        400,
        "messages[1]",
        None,
    ),
    "half a character": (
        asked(messages=[{"role": "user", "content": "\ud800"}]),
        400,
        "messages[0]",
        None,
    ),
    "n": (asked(n=2), 400, "n", "unsupported_value"),
    "n of a wrong type": (asked(n=True), 400, "n", "unsupported_value"),
    "tools": (asked(tools=[{}]), 400, "tools", "unsupported_value"),
    "unknown field": (asked(temprature=1), 400, "temprature", "unknown_parameter"),
    "hot": (asked(temperature=3), 400, "temperature", "invalid_value"),
    "text as number": (asked(temperature="1"), 400, "temperature", "invalid_value"),
    "true as number": (asked(temperature=True), 400, "temperature", "invalid_value"),
    "no tokens": (asked(max_tokens=0), 400, "max_tokens", "invalid_value"),
    "half a token": (asked(max_tokens=1.5), 400, "max_tokens", "invalid_value"),
    "stops": (asked(stop=["a"] * 5), 400, "stop", "invalid_value"),
    "empty stop": (asked(stop=""), 400, "stop", "invalid_value"),
    "seed": (asked(seed=2**70), 400, "seed", "invalid_value"),
    "stream": (asked(stream="yes"), 400, "stream", "invalid_value"),
    "too long": (
        asked(messages=[{"role": "user", "content": "goose " * 99}]),
        400,
        "messages",
        "context_length_exceeded",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_malformed_request_gets_the_api_s_error(server, name):
    body, status, param, code = BAD[name]
    got, answer = post(server, body)
    assert got == status, answer
    error = answer["error"]
    assert set(error) == {"message", "type", "param", "code"} and error["message"]
    assert error["type"] == "invalid_request_error"
    if param:
        assert error["param"] == param
    if code:
        assert error["code"] == code
    assert post(server, asked())[0] == 200  # and the server goes on


def raw(server, data, wait=5):
    """What comes back for these bytes, until the server closes."""
    with socket.create_connection(server.server_address, timeout=wait) as line:
        line.sendall(data)
        got = b""
        while piece := line.recv(65536):
            got += piece
    return got


HEAD = b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"


@pytest.mark.parametrize(
    "data, status",
    [
        (HEAD + b"Content-Type: application/json\r\n\r\n", 411),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 411),
        (HEAD + b"Content-Length: -5\r\n\r\n", 400),
        (HEAD + b"Content-Length: 1e9\r\n\r\n", 400),
        (HEAD + b"Content-Length: " + b"9" * 5000 + b"\r\n\r\n", 400),
        (HEAD + b"Content-Length: 2\r\n\r\n{}", 415),
        (b"GARBAGE\r\n\r\n", 400),
        (b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\n\r\n", 414),
        (b"BREW /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 501),
        (b"DELETE /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n\r\n", 405),
        (b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n", 404),
        (b"GET /v1/models HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        (b"GET /v1/models HTTP/1.1\r\nHost: [\r\n\r\n", 403),
        (b"GET /v1/models HTTP/1.1\r\n\r\n", 403),
    ],
)
def test_errors_of_http_come_in_the_same_form(server, data, status):
    head, _, body = raw(server, data).partition(b"\r\n\r\n")
    assert head.split()[1] == str(status).encode()
    assert json.loads(body)["error"]["message"]


@pytest.mark.parametrize("expect", [b"", b"Expect: 100-continue\r\n"])
def test_a_body_of_100_megabytes_is_refused_unread(server, expect):
    """The refusal comes after the head alone, whoever waits and whoever does not."""
    head = HEAD + b"Content-Type: application/json\r\n" + expect
    got = raw(server, head + b"Content-Length: 100000000\r\n\r\n")
    assert got.startswith(b"HTTP/1.1 413") and b"100 Continue" not in got


def test_who_sends_100_megabytes_all_the_same_reads_the_refusal(server):
    big = asked(messages=[{"role": "user", "content": "a" * 100_000_000}])
    connection = connect(server)
    headers = {"Content-Type": "application/json"}
    with pytest.raises((ConnectionError, AssertionError)):
        connection.request("POST", "/v1/chat/completions", json.dumps(big), headers)
        raise AssertionError("all of it was taken")
    response = connection.response_class(connection.sock)
    response.begin()
    assert response.status == 413
    assert json.loads(response.read())["error"]["code"] == "body_too_large"
    assert post(server, asked())[0] == 200


def test_the_official_client_sees_413(client):
    talk = [{"role": "user", "content": "a" * 2_000_000}]
    with pytest.raises(openai.APIStatusError) as caught:
        client.chat.completions.create(model="llmbook", messages=talk)
    assert caught.value.status_code == 413 and caught.value.code == "body_too_large"


def test_an_api_key(model, words):
    with ChatServer(model, words, port=0, api_key="sésame") as server:
        for key, status in (("Bearer sésame", 200), ("Bearer x", 401), ("", 401)):
            headers = {"Authorization": key.encode()} if key else {}
            assert post(server, asked(), headers)[0] == status
        assert post(server, "x" * 10, {})[0] == 401


def test_twenty_clients_at_once_are_all_answered(server):
    """Three seats, twenty clients, half of them streaming; each gets its own answer."""
    want = post(server, asked(max_tokens=30))[1]["choices"][0]["message"]["content"]
    url, got = server.url, {}

    def ask(n):
        with openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
            create = client.chat.completions.create
            if n % 2:
                got[n] = create(**asked(max_tokens=30)).choices[0].message.content
            else:
                events = create(**asked(max_tokens=30), stream=True)
                got[n] = "".join(e.choices[0].delta.content or "" for e in events)

    threads = [threading.Thread(target=ask, args=(n,)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert got == dict.fromkeys(range(20), want)
    assert len(server.desk.free) == 3


def test_too_many_are_told_so(long_model, words):
    with ChatServer(long_model, words, port=0, n_seats=1, n_waiting=1) as server:
        ways = asked(stream=True, max_tokens=20_000)
        streams = [open_stream(server, ways) for _ in range(2)]
        assert until(lambda: server.places._value == 0)
        status, answer = post(server, asked())
        assert status == 503 and answer["error"]["code"] == "overloaded"
        assert answer["error"]["type"] == "server_error"
        for connection in streams:
            connection.close()


def open_stream(server, body):
    """A connection on which a stream has been asked for, and not read."""
    connection = connect(server)
    headers = {"Content-Type": "application/json"}
    connection.request("POST", "/v1/chat/completions", json.dumps(body), headers)
    return connection


@pytest.mark.parametrize("stream", [True, False])
def test_who_goes_away_stops_the_generation(long_server, stream):
    memories = list(long_server.desk.free)
    connection = open_stream(long_server, asked(stream=stream, max_tokens=20_000))
    assert until(lambda: len(long_server.desk.free) == 1)  # it is being written
    if stream:
        connection.getresponse().read(300)
    connection.sock.close()
    connection.close()
    assert until(lambda: len(long_server.desk.free) == 2, 3)
    written = [len(memory.ids) for memory in memories]
    time.sleep(0.3)
    assert written == [len(memory.ids) for memory in memories]
    assert max(written) < 10_000
    assert long_server.places._value == 2 + 64
    assert post(long_server, asked())[0] == 200


def test_streams_take_turns(long_server):
    """A short answer does not wait for a long one to end."""
    connection = open_stream(long_server, asked(stream=True, max_tokens=20_000))
    assert until(lambda: len(long_server.desk.free) == 1)
    assert post(long_server, asked())[0] == 200
    assert len(long_server.desk.free) == 1  # the long one is still being written
    connection.close()


def test_stopping_in_the_middle_of_a_stream_leaves_nothing(long_model, words):
    before = set(threading.enumerate())
    server = ChatServer(long_model, words, port=0, n_seats=2)
    with server:
        streams = [
            open_stream(server, asked(stream=True, max_tokens=20_000)) for _ in range(4)
        ]
        idle = connect(server)
        idle.request("GET", "/v1/models")
        idle.getresponse().read()
        assert until(lambda: not server.desk.free)
        start = time.monotonic()
    assert time.monotonic() - start < 4
    assert set(threading.enumerate()) == before
    assert len(server.desk.free) == 2 and not server.desk.line
    assert not server.connections
    for n, connection in enumerate(streams):  # each is told, and not left waiting
        response = connection.getresponse()
        text = response.read().decode()
        if response.status == 200:
            last = [line for line in text.splitlines() if line][-1]
            error = json.loads(last.removeprefix("data: "))["error"]
            assert error["code"] == "stopping"
            assert "[DONE]" not in text
        else:
            assert n >= 2 and response.status == 503
        connection.close()
    with pytest.raises(ConnectionRefusedError):
        connect(server).request("GET", "/v1/models")
    with ChatServer(long_model, words, port=server.server_address[1]):
        pass  # the port is free at once


SCRIPT = """
import sys
sys.path.insert(0, {root!r})
from tests.chat.conftest import babbler
from llmbook.chat import serve
from llmbook.instruction import OWN
from llmbook.tokenizer import BPETokenizer
words = BPETokenizer({{}}, {{c: 256 + i for i, c in enumerate(OWN.control)}})
serve(babbler(words, 20_000), words, port={port}, say=lambda s: print(s, flush=True))
print("ended", flush=True)
"""


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGKILL"])
def test_killing_the_server_in_the_middle_of_a_stream(name, tmp_path):
    if not hasattr(signal, name) or os.name == "nt":
        pytest.skip("no such signal here")
    root = os.path.dirname(os.path.dirname(os.path.dirname(__file__)))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    script = SCRIPT.format(root=root, port=port)
    command = [sys.executable, "-c", script]
    for _ in range(2):  # the second time on the same port
        process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path
        )
        assert f"127.0.0.1:{port}/v1".encode() in process.stdout.readline()
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
        body = json.dumps(asked(stream=True, max_tokens=20_000))
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        assert b"data:" in response.read(200)
        process.send_signal(getattr(signal, name))
        out, err = process.communicate(timeout=10)
        if name == "SIGKILL":
            with pytest.raises((http.client.IncompleteRead, ConnectionError)):
                response.read()
        else:
            assert process.returncode == 0 and b"ended" in out and not err
            assert b'"stopping"' in response.read()
        connection.close()
        assert not list(tmp_path.iterdir())
