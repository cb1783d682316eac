"""Nobody reads the output any more: the command goes on, and ends with its own exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

# prints more than a pipe holds, in pieces, on both streams, and through rich
PROGRAM = """
import sys
from pathlib import Path
from rich.console import Console
from posttrain import cli, errors

def chatter():
    console = Console()
    for number in range(300):
        print("x" * 400)
        console.print("y" * 50)
        print("z" * 400, file=sys.stderr)
    Path(sys.argv[1]).write_text("to the end")
    raise errors.{error}("said on standard error")

cli.COMMANDS = (*cli.COMMANDS, chatter)
cli.main(["chatter"])
"""


@pytest.mark.parametrize(
    ("streams", "error", "code"),
    [(("stdout",), "DataError", 2), (("stderr",), "Interrupted", 3), (("stdout", "stderr"), "NoAnswer", 1)],
)
def test_a_reader_that_goes_away_ends_nothing(tmp_path: Path, streams: tuple[str, ...], error: str, code: int) -> None:
    done = tmp_path / "done"
    reading, writing = os.pipe()
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **dict.fromkeys(streams, writing)}
    command = [sys.executable, "-c", PROGRAM.format(error=error), str(done)]
    process = subprocess.Popen(command, stdout=pipes["stdout"], stderr=pipes["stderr"])
    os.close(writing)
    assert os.read(reading, 10)
    os.close(reading)
    assert process.wait(timeout=60) == code
    assert done.read_text() == "to the end"


@pytest.mark.parametrize("closed", [">&-", "<&- >&- 2>&-"])
def test_streams_that_were_never_open_are_no_files_of_ours(tmp_path: Path, closed: str) -> None:
    done = tmp_path / "done"
    command = f'"$0" -c "$1" "$2" {closed}'
    arguments = ["sh", "-c", command, sys.executable, PROGRAM.format(error="DataError"), str(done)]
    process = subprocess.run(arguments, check=False, capture_output=True, timeout=60)
    assert process.returncode == 2
    assert done.read_text() == "to the end"
