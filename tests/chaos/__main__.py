"""`python -m tests.chaos`: a search without faults, the same one with many, and whether their ledgers tell the same."""

import argparse
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

from tests.chaos.campaign import Campaign, Wanted, essence, small_search, struck_search
from tests.chaos.faults import FAULTS
from tests.cluster.job_server import free_ports
from tests.evals.tiny_model import make_tiny_model


def main() -> int:
    """Returns 0 when both ledgers tell the same, nothing is left behind and no verdict paid for twice that was not on its way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--faults", type=int, default=50)
    parser.add_argument("--trials", type=int, default=110, help="enough for the search to last as long as the faults")
    parser.add_argument("--steps", type=int, default=120)
    parser.add_argument("--lasts", type=float, default=5.0, help="seconds that a fault lasts which passes by itself")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--disk", type=Path, help="a file system of its own, in which everything is written, and which 'disk full' fills")
    parser.add_argument("--kinds", nargs="+", choices=list(FAULTS), default=list(FAULTS), metavar="KIND", help=f"of {', '.join(FAULTS)}")
    asked = parser.parse_args()
    if asked.disk and not asked.disk.is_mount():
        parser.error(f"--disk {asked.disk} will be filled, and is no file system of its own: mount a small one there")
    root = Path(tempfile.mkdtemp(prefix="daa-chaos-", dir=asked.disk))
    model = make_tiny_model(root / "model", seed=0, scale=0.05)
    [port] = free_ports(1)
    print(f"without faults, then with {asked.faults}; everything is in {root}", flush=True)

    def searched(name: str, faults: int) -> Campaign:
        # With a cache of its own: the second would ask the judge nothing.
        settings = small_search(root / f"{name}-inputs", model, asked.trials, asked.steps, port)
        return struck_search(settings, root / name, Wanted(faults, asked.kinds, asked.seed, asked.lasts, asked.disk), port)

    calm, struck = searched("calm", 0), searched("struck", asked.faults)
    times = defaultdict(list)
    for each in struck.struck:
        times[each.fault].append(each.recovered_s)
    for fault, seconds in sorted(times.items()):
        print(f"{fault}: {len(seconds)} times, recovered after {min(seconds):g} to {max(seconds):g} s")
    same = essence(calm.events) == essence(struck.events)
    enough = len(struck.struck) >= asked.faults
    dear = any(run.paid_again > run.may_cost for run in (calm, struck))
    told = "the same" if same else "different things"
    print(f"{len(struck.struck)} faults; the ledgers tell {told}; left behind: {calm.left or struck.left or 'nothing'}")
    print(
        f"verdicts that were paid for: {calm.paid}, {calm.paid_again} of them again; with faults {struck.paid}, {struck.paid_again} again, "
        f"which faults may cost {struck.may_cost}"
    )
    if not enough:
        print(f"the search was over before the other faults: give it more than {asked.trials} --trials")
    return 0 if same and enough and not dear and not calm.left and not struck.left else 1


if __name__ == "__main__":
    sys.exit(main())
