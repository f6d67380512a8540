"""What the benchmarks share: pieces of work that take turns in one process, the ratios of their
times, and how much memory one takes at its highest.
"""

import os
import time
from collections.abc import Callable, Hashable, Mapping
from statistics import median, quantiles

import torch
from torch.profiler import ProfilerActivity, profile

Work = Callable[[], object]


def alternate(works: Mapping[Hashable, Work], rounds: int) -> dict[Hashable, list[float]]:
    """The seconds of each piece of work in every round, after one round that warms up.

    The pieces take turns within a round, so that whatever else slows the machine slows all alike.
    Raises `ValueError` on fewer than 2 rounds: `ratios` needs two.
    """
    if rounds < 2:
        raise ValueError(f"rounds must be at least 2, got {rounds}")
    seconds: dict = {name: [] for name in works}
    for number in range(rounds + 1):
        for name, work in works.items():
            began = time.perf_counter()
            work()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def ratios(seconds: list[float], reference: list[float]) -> list[float]:
    """Ratios within each round: their median, and the two ends of their middle half."""
    each = [a / b for a, b in zip(seconds, reference, strict=True)]
    return [round(value, 3) for value in (median(each), *quantiles(each, n=4)[::2])]


def compare(name: str, slow: Work, fast: Work, rounds: int) -> None:
    """Print how many times as long `slow` takes as `fast`, and the median seconds of both."""
    seconds = alternate({"slow": slow, "fast": fast}, rounds)
    ratio, low, high = ratios(seconds["slow"], seconds["fast"])
    medians = f"{median(seconds['slow']):.3f} s against {median(seconds['fast']):.3f} s"
    print(f"{ratio:5.2f} x ({low:.2f} to {high:.2f})  {name}  ({medians})", flush=True)


def peak_memory(work: Work, device: str = "cpu") -> int:
    """The largest number of bytes that were allocated at one time while `work` ran, beyond those
    before it.
    """
    if device == "cuda":
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        work()
        return torch.cuda.max_memory_allocated() - before
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the profiler else reports each start and stop
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        work()
    events = recorded.profiler.kineto_results.events()
    changes = [event for event in events if event.name() == "[memory]"]
    now = highest = 0
    for event in sorted(changes, key=lambda event: event.start_ns()):
        now += event.nbytes()
        highest = max(highest, now)
    return highest
