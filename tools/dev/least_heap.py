#!/usr/bin/env python3
"""Find the least GC heap with which a MicroPython job still completes.

`gc.mem_alloc()` at the end of a job says little about what the job needs: fragmentation, the collector's
own tables and short-lived peaks all count. So the job is run with heaps of different sizes
(`micropython -X heapsize=N`) and the smallest that works is searched by bisection.

For TLS the figure means something only with the 32-bit build of `tools/dev/build_micropython32.sh`,
whose Mbed TLS allocates from the GC heap as on a board.

As a command (`{heap}` stands for the size in bytes; completing means exit code 0):

    python tools/dev/least_heap.py build/micropython32/micropython -X heapsize={heap} job.py
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence


class JobFailed(RuntimeError):
    """The job did not complete even with the largest heap allowed."""


def completes(
    command: Sequence[str], timeout_s: float, environment: Mapping[str, str] | None = None
) -> tuple[bool, str]:
    """Run `command` once; return whether it exited with 0 in time, and the last line it printed."""
    try:
        result = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=timeout_s,
            env=environment,
            check=False,
        )
    except subprocess.TimeoutExpired:
        # With too small a heap a job may collect for ever instead of failing.
        return False, f"no end within {timeout_s:g} s"
    lines = result.stdout.decode("utf-8", "replace").strip().splitlines()
    return result.returncode == 0, lines[-1] if lines else f"exit code {result.returncode}"


def least_heap_bytes(
    command_for_heap: Callable[[int], Sequence[str]],
    low: int,
    high: int,
    step: int,
    *,
    timeout_s: float = 30.0,
    confirmations: int = 3,
) -> int:
    """Return the least heap, in bytes, with which a job completes.

    `command_for_heap(heap_bytes)` gives the command to run with a heap of that size; exit code 0 means that
    it completed. See `least_size`.
    """

    def works(heap_bytes: int) -> tuple[bool, str]:
        return completes(command_for_heap(heap_bytes), timeout_s)

    return least_size(works, low, high, step, confirmations=confirmations)


def least_size(
    works: Callable[[int], tuple[bool, str]],
    low: int,
    high: int,
    step: int,
    *,
    confirmations: int = 3,
    guess: int | None = None,
) -> int:
    """Return the least size with which `works(size)` says yes; with a no it gives the reason.

    Sizes tried are `low + n * step`, up to the first that is not below `high`. With a `guess`, the search begins in its
    neighbourhood, which takes fewer runs if it is a good one.

    Fragmentation and addresses that differ from run to run make the boundary slightly fuzzy. The result is
    therefore a size with which the job completed `confirmations` times in a row; where one of these runs
    fails, the next larger size is tried.

    Raises `JobFailed`, with the last reason, if it does not complete at the upper end, and ValueError for a range or
    step that makes no sense.
    """
    if step <= 0 or low < 0 or high < low or confirmations < 1:
        raise ValueError(f"need 0 <= low <= high, step > 0, confirmations > 0: {low}, {high}, {step}, {confirmations}")

    def size(index: int) -> int:
        return low + index * step

    last = -(-(high - low) // step)
    fails_below, works_at = 0, last  # everything under index fails_below is known or assumed to fail
    good = False
    if guess is not None:
        near = min(max((guess - low) // step, 0), last)
        above, below = min(near + 2, last), near - 6
        good, line = works(size(above))
        if good:
            works_at = above
            if below > 0 and not works(size(below))[0]:
                fails_below = below + 1
        else:
            fails_below = above + 1
    if not good:
        good, line = works(size(last))
        if not good:
            raise JobFailed(f"does not complete with a heap of {size(last)} bytes: {line}")

    while fails_below < works_at:
        middle = (fails_below + works_at) // 2
        if works(size(middle))[0]:
            works_at = middle
        else:
            fails_below = middle + 1

    for index in range(works_at, last + 1):
        for _ in range(confirmations):
            good, line = works(size(index))
            if not good:
                break
        if good:
            return size(index)
    raise JobFailed(f"does not complete reliably with a heap of {size(last)} bytes: {line}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line: print the least heap in bytes; exit 1 if the job never completes."""
    parser = argparse.ArgumentParser(description="Find the least GC heap with which a MicroPython job completes.")
    parser.add_argument("--low", type=int, default=8 * 1024, help="smallest heap tried, bytes (default: 8192)")
    parser.add_argument("--high", type=int, default=1024 * 1024, help="largest heap tried, bytes (default: 1048576)")
    parser.add_argument("--step", type=int, default=256, help="resolution, bytes (default: 256)")
    parser.add_argument("--timeout", type=float, default=30.0, help="longest run, seconds (default: 30)")
    parser.add_argument("command", nargs=argparse.REMAINDER, help="command with {heap} where the size in bytes goes")
    options = parser.parse_args(arguments)
    command: list[str] = options.command
    if not any("{heap}" in word for word in command):
        parser.error("the command needs {heap}, for example: micropython -X heapsize={heap} job.py")
    try:
        found = least_heap_bytes(
            lambda heap_bytes: [word.replace("{heap}", str(heap_bytes)) for word in command],
            options.low,
            options.high,
            options.step,
            timeout_s=options.timeout,
        )
    except (JobFailed, ValueError, OSError) as error:
        print(f"least_heap: {error}", file=sys.stderr)
        return 1
    print(found)
    return 0


if __name__ == "__main__":
    sys.exit(main())
