"""``make faults``: run tasks while faults are injected, and count those lost or run twice."""

import argparse
import sys
import time

from tests.faults.run import run_faults


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--faults", type=int, default=200)
    parser.add_argument("--tasks", type=int, default=100, help="in flight at any time")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--keep", action="store_true", help="keep the directory with all logs")
    chosen = parser.parse_args()
    outcome = run_faults(
        chosen.faults, seed=chosen.seed, in_flight=chosen.tasks, keep=chosen.keep,
        say=say,
    )  # fmt: skip
    found = outcome.verdict
    for what, tasks in (("lost", found.lost), ("doubled", found.doubled)):
        for task in tasks:
            say(f"{what}: {task}")
    say(", ".join(f"{name} {count}" for name, count in sorted(outcome.faults.items())))
    ended = ", ".join(f"{count} {status}" for status, count in sorted(found.ended.items()))
    say(f"{ended}; {found.attempts} attempts; {outcome.seconds:.0f} s; seed {chosen.seed}")
    say(outcome.last_line)
    return 1 if found.lost or found.doubled else 0


if __name__ == "__main__":
    sys.exit(main())
