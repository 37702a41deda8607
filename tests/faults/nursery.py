"""Bears the processes under test. Everything is imported once; each process is then a fork that runs `python -m app`.

A start costs seconds of imports, and a test that kills ten processes would spend its time there. What is born here is a
process like any other: its own session, its own environment, killed and frozen by its number.

Reads one JSON order a line: arguments, environment, log. Answers with the process's number.
"""

import gc
import importlib
import json
import os
import random
import runpy
import signal
import sys
import traceback

from app.embedded.process import LIBC, PR_SET_PDEATHSIG

NEEDED = ("app.cli.main", "workers.main", "uvicorn.loops.uvloop", "uvicorn.protocols.http.httptools_impl")


def main() -> None:
    """Take orders until the caller hangs up or dies; the children go with this process."""
    for name in NEEDED:
        importlib.import_module(name)
    gc.freeze()
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # nobody asks how they ended: no zombies
    print("ready", flush=True)  # noqa: T201
    for line in sys.stdin:
        order = json.loads(line)
        number = os.fork()
        if number == 0:
            _become(order)
        print(number, flush=True)  # noqa: T201


def _become(order: dict[str, object]) -> None:
    code: object = 1
    try:
        os.setsid()
        if sys.platform == "linux":
            LIBC.prctl(PR_SET_PDEATHSIG, int(signal.SIGKILL))
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        log = os.open(str(order["log"]), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        empty = os.open(os.devnull, os.O_RDONLY)
        for target, source in ((0, empty), (1, log), (2, log)):
            os.dup2(source, target)
        os.environ.clear()
        os.environ.update(order["environment"])  # type: ignore[call-overload]
        random.seed()
        sys.argv = ["kehu", *order["arguments"]]  # type: ignore[misc]
        runpy.run_module("app", run_name="__main__", alter_sys=False)
        code = 0
    except SystemExit as end:
        code = end.code
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code if isinstance(code, int) else 0 if code is None else 1)


if __name__ == "__main__":
    main()
