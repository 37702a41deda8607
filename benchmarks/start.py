"""How long the demo takes to come up and to stop, and what an installation weighs."""

import re
import signal
import subprocess
import sys
import time
from importlib import metadata
from pathlib import Path
from typing import Final

from benchmarks.measure import Figure, Plan
from benchmarks.stage import workplace

_ROOT: Final = Path(__file__).resolve().parent.parent
_UP: Final = "Kehu is up"
_PATIENCE_SECONDS: Final = 600


def run(plan: Plan) -> list[Figure]:
    """Cold: an empty data folder, until brand and scores are in. Warm: the same folder again. Packages are there."""
    with workplace(plan) as directory:
        cold, stop = _once(directory / "demo")
        warm = [_once(directory / "demo") for _ in range(1 if plan.quick else 3)]
    return [
        Figure(
            "start: demo, cold, until scores are in", [cold], "s", detail="5,000 members, 32,000 orders through the API"
        ),
        Figure("start: demo, warm", [up for up, _ in warm], "s", 5.0, higher_is_better=False),
        Figure("start: Ctrl-C to all stopped", [stop, *(down for _, down in warm)], "s", 5.0, higher_is_better=False),
        Figure("start: packages to serve", [_size_mb("run")], "MB", higher_is_better=False),
        Figure("start: packages to show the demo", [_size_mb("embedded")], "MB", higher_is_better=False),
    ]


def _once(data: Path) -> tuple[float, float]:
    """Seconds until the demo is up, and until it has stopped."""
    begun = time.perf_counter()
    demo = subprocess.Popen(
        [sys.executable, "-m", "app", "demo", "--data", str(data), "--port", "0"],
        cwd=_ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in demo.stderr or ():
        lines.append(line)
        if _UP in line:
            break
    else:
        raise RuntimeError("the demo did not come up:\n" + "".join(lines[-20:]))
    up = time.perf_counter() - begun
    time.sleep(1)
    begun = time.perf_counter()
    demo.send_signal(signal.SIGINT)
    demo.communicate(timeout=_PATIENCE_SECONDS)
    return up, time.perf_counter() - begun


def _size_mb(lock: str) -> float:
    """What the packages of a lock take here, byte code included."""
    names = re.findall(r"(?m)^([A-Za-z0-9._-]+)==", (_ROOT / "requirements" / f"{lock}.txt").read_text())
    files: set[Path] = set()
    for name in names:
        try:
            files |= {Path(str(file.locate())) for file in metadata.files(name) or ()}
        except metadata.PackageNotFoundError:
            continue  # for another platform
    return sum(file.stat().st_size for file in files if file.is_file()) / 1_000_000
