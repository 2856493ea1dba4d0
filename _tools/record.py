"""Take the tour as a guest does, and write what the terminal showed into the README.

The command runs in an empty folder, on a terminal of 80 columns that this script holds
the other end of; it types what a guest might. Nothing in the record is written by hand:
bars are shown as they stood last.

Usage: python -m _tools.record [the llmbook command; by default the one on the path]
"""

import codecs
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from datetime import date

from _tools.export import ROOT

README = ROOT / "README.md"
BEGIN, END = "<!-- the tour, by _tools/record.py -->", "<!-- end of the tour -->"
TYPED = ("1", "3", "5", "", "2", "6", "q")
PROMPT = "\n> "


def typed_into(command, answers, folder):
    """Run a command on a terminal, answer its prompts, and keep what it showed.

    Gives the text, the seconds until the first prompt, and the seconds in all.
    """
    import pty

    ours, theirs = pty.openpty()
    variables = {**os.environ, "COLUMNS": "80", "LINES": "40", "TERM": "dumb"}
    variables.pop("PYTHONPATH", None)
    start = time.monotonic()
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = subprocess.Popen(command, cwd=folder, env=variables, **ends)
    os.close(theirs)
    decoder = codecs.getincrementaldecoder("utf-8")()
    waiting, shown, seen, first = list(answers), "", 0, None
    while True:
        try:
            piece = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not piece:
            break
        shown += decoder.decode(piece).replace("\r\n", "\n")
        if waiting and shown.endswith(PROMPT) and len(shown) > seen:
            first = first or time.monotonic() - start
            os.write(ours, f"{waiting.pop(0)}\n".encode())
            seen = len(shown) + 1
    status = process.wait()
    os.close(ours)
    if status or waiting:
        sys.exit(f"the tour ended with status {status}: {shown[-500:]}")
    return shown, first, time.monotonic() - start


def screen(shown):
    """What a terminal shows in the end, where lines were written over."""
    lines = []
    for line in shown.split("\n"):
        cells = []
        for part in line.split("\r"):
            cells[: len(part)] = part
        lines.append("".join(cells).rstrip())
    bars = re.compile(r"^ *\d+%\|")
    kept = [each for each in lines if not bars.match(each) or " 100%|" in f" {each}"]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(kept)).strip("\n")


def processor():
    """The name of this machine's processor."""
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as told:
            names = re.findall(r"model name\s*: (.*)", told.read())
    except OSError:
        names = []
    return names[0] if names else platform.processor() or platform.machine()


def minutes(seconds):
    return f"{int(seconds) // 60} min {int(seconds) % 60} s"


def main():
    command = shutil.which(sys.argv[1] if sys.argv[1:] else "llmbook")
    if command is None:
        sys.exit("there is no llmbook command: install the wheel, and name the command")
    with tempfile.TemporaryDirectory() as folder:
        shown, first, whole = typed_into([command, "tour"], TYPED, folder)
        if os.listdir(folder):
            sys.exit("the tour left something behind")
    told = (
        f"Recorded on {date.today()} on {len(os.sched_getaffinity(0))} cores of an "
        f"{processor()}: {minutes(first)} from the command to the first question, "
        f"{minutes(whole)} in all."
    )
    block = (
        f"{BEGIN}\n\n{told}\n\n```text\n$ llmbook tour\n\n{screen(shown)}\n```\n\n{END}"
    )
    text = README.read_text("utf-8")
    if text.count(BEGIN) != 1 or text.count(END) != 1:
        sys.exit(f"README.md needs one line {BEGIN} and one line {END}")
    before, after = text.split(BEGIN)[0], text.split(END)[1]
    README.write_text(before + block + after, "utf-8")
    print(told)


if __name__ == "__main__":
    main()
