"""Turns, rounds and figures: two sides measured in one run, one after the other, and what that comes to."""

import os
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Final

_TICKS: Final = os.sysconf("SC_CLK_TCK")

RATIO: Final = "×"
_TURNS: Final = 4  # of each side in a round


@dataclass(frozen=True, slots=True)
class Plan:
    """How much to measure. `customers` None: what each benchmark finds right."""

    quick: bool = False
    customers: int | None = None
    directory: Path | None = None
    keep: Path | None = None  # where `size` leaves its database

    @property
    def rounds(self) -> int:
        """Turns that each side gets."""
        return 2 if self.quick else 5

    @property
    def seconds(self) -> float:
        """Length of one turn."""
        return 2.0 if self.quick else 5.0

    def population(self, quick: int, usual: int) -> int:
        """How many customers to load."""
        return self.customers or (quick if self.quick else usual)


@dataclass(frozen=True, slots=True)
class Figure:
    """One result. `values` are the rounds'; `value` is what counts. Ratios are what `--check` compares."""

    name: str
    values: Sequence[float]
    unit: str
    target: float | None = None
    higher_is_better: bool = True
    detail: str = ""
    value: float = field(default=0.0)

    def __post_init__(self) -> None:
        """Unless given, the value is the median."""
        if not self.value:
            object.__setattr__(self, "value", median(self.values))

    @property
    def is_met(self) -> bool | None:
        """Whether the target is reached; None without one."""
        if self.target is None:
            return None
        return self.value >= self.target if self.higher_is_better else self.value <= self.target


@dataclass(frozen=True, slots=True)
class Sample:
    """One turn of one side. `cpu` is CPU time by process in seconds."""

    work: int
    seconds: float
    cpu: dict[str, float]

    @property
    def rate(self) -> float:
        """Work a second."""
        return self.work / self.seconds


Side = Callable[[float], Awaitable[Sample]]


async def take_turns(ours: Side, bare: Side, plan: Plan) -> list[tuple[Sample, Sample]]:
    """Measure both sides in rounds of short turns, so that what else runs on the machine hits both. (ours, bare)"""
    for side in (ours, bare):
        await side(plan.seconds / 2)
    rounds: list[tuple[Sample, Sample]] = []
    for _ in range(plan.rounds):
        turns: list[tuple[Sample, Sample]] = []
        for turn in range(_TURNS):
            if turn % 2:
                theirs = await bare(plan.seconds / _TURNS)
                turns.append((await ours(plan.seconds / _TURNS), theirs))
            else:
                first = await ours(plan.seconds / _TURNS)
                turns.append((first, await bare(plan.seconds / _TURNS)))
        rounds.append((_sum([turn[0] for turn in turns]), _sum([turn[1] for turn in turns])))
    return rounds


def ratio_figure(
    name: str, rounds: list[tuple[Sample, Sample]], target: float, what: str, beside: str = "bare"
) -> Figure:
    """Our rate as a share of the other one, round by round."""
    ours = median(sample.rate for sample, _ in rounds)
    bare = median(sample.rate for _, sample in rounds)
    return Figure(
        name,
        [sample.rate / other.rate for sample, other in rounds],
        RATIO,
        target,
        detail=f"{ours:,.0f} {what}/s, {beside} {bare:,.0f}; CPU µs each: {_cpu(s for s, _ in rounds)}; "
        f"{_cpu(s for _, s in rounds)}",
    )


def percentile(values: Sequence[float], share: float) -> float:
    """The value that `share` of the values do not exceed."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """CPU time that a process has used, with its children's when asked; 0 where there is no /proc."""
    if not Path("/proc/self/stat").exists():
        return 0.0
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat") if with_children else [Path(f"/proc/{pid}/stat")]:
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if stat.parent.name == str(pid):
            total += sum(map(int, fields[11:15] if with_children else fields[11:13]))
        elif int(fields[1]) == pid:
            total += sum(map(int, fields[11:13]))
    return total / _TICKS


def peak_memory_mb(pid: int) -> float:
    """The most memory that the process has held, in MB; 0 where that is not told."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmHWM"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def _sum(parts: Sequence[Sample]) -> Sample:
    """Several turns as one."""
    cpu = {name: sum(part.cpu[name] for part in parts) for name in parts[0].cpu}
    return Sample(sum(part.work for part in parts), sum(part.seconds for part in parts), cpu)


def _cpu(samples: Iterable[Sample]) -> str:
    """CPU time by process per unit of work in microseconds, over all rounds."""
    taken = list(samples)
    work = sum(sample.work for sample in taken)
    parts = {name: sum(sample.cpu[name] for sample in taken) / work * 1e6 for name in taken[0].cpu}
    return " + ".join(f"{name} {microseconds:,.0f}" for name, microseconds in parts.items())
