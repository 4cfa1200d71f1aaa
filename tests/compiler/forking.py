"""A process that has loaded the program and its kernels, and forks a `medimagenet` for every command it is given.

A command is a line of JSON on stdin: what is typed after ``medimagenet``, and the seconds between commits. Answers are
lines on stdout: the child's process id, then how it ended, as `os.waitpid` says it.
"""

import json
import os
import sys

from medimagenet.cli.main import app
from medimagenet.compiler import run


def execute(arguments, commit_seconds):
    run.COMMIT_SECONDS = commit_seconds
    try:
        app(arguments, standalone_mode=False)
    except SystemExit as error:
        return error.code
    return 0


answers = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # what the commands print
execute(sys.argv[1:], 0.0)
print("ready", file=answers)
for line in sys.stdin:
    child = os.fork()
    if child == 0:
        os._exit(execute(*json.loads(line)) or 0)
    print(child, file=answers)
    print(os.waitpid(child, 0)[1], file=answers)
