"""Makes inputs out of a seed and puts them to a target; the same seed and number make the same input."""

from __future__ import annotations

import resource
import time
import traceback
from collections import Counter
from dataclasses import dataclass, field
from random import Random

from targets import TARGETS

MOST_SECONDS = 1.0
"""How long one input may take, the second readers included."""
SLOW_TRIES = 5
"""One that took longer may have met a busy machine."""
MOST_GROWTH = 64 * 1024 * 1024
"""Bytes that a process may grow over all its inputs."""


@dataclass
class Find:
    """An input that something must not have come of."""

    target: str
    seed: int
    number: int
    data: bytes
    trace: str


@dataclass
class Result:
    """What came of a run."""

    target: str
    count: int = 0
    seconds: float = 0.0
    outcomes: Counter[str] = field(default_factory=Counter)
    finds: list[Find] = field(default_factory=list)
    slowest: float = 0.0
    grown: int = 0

    def add(self, part: Result) -> None:
        """Take in what came of further inputs; growth is of one process, so the most counts."""
        self.count += part.count
        self.seconds += part.seconds
        self.outcomes += part.outcomes
        self.finds += part.finds
        self.slowest = max(self.slowest, part.slowest)
        self.grown = max(self.grown, part.grown)


def make(target, seed: int, number: int) -> tuple[bytes, Random]:
    """An input, and the chance that its check goes on with."""
    return target.make(Random(f"{seed} {target.name} {number}")), Random(seed ^ number << 32)


def run(name: str, seed: int, numbers: range, most_finds: int = 20) -> Result:
    """Put inputs to a target."""
    target, result = TARGETS[name](), Result(name)
    size = resident()
    began = time.monotonic()
    for number in numbers:
        data, chance = make(target, seed, number)
        find = check(target, data, chance, result)
        if find:
            result.finds.append(Find(name, seed, number, data, find))
            if len(result.finds) >= most_finds:
                break
        result.count += 1
    result.seconds = time.monotonic() - began
    result.grown = resident() - size
    if result.grown > MOST_GROWTH:
        result.finds.append(Find(name, seed, -1, b"", f"the process grew by {result.grown} bytes"))
    return result


def check(target, data: bytes, chance: Random, result: Result, tries: int = SLOW_TRIES) -> str:
    """What is wrong with how a target took an input; empty when all is well."""
    began = time.perf_counter()  # the processor's own clock is slow to read on some machines
    try:
        outcome = target.check(data, chance)
    except Exception:
        return traceback.format_exc()
    took = time.perf_counter() - began
    if took > MOST_SECONDS and tries > 1:
        return check(target, data, chance, result, tries - 1)
    result.outcomes[outcome] += 1
    result.slowest = max(result.slowest, took)
    return f"took {took:.2f} s, after {SLOW_TRIES} tries" if took > MOST_SECONDS else ""


def resident() -> int:
    """The most bytes this process has held."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
