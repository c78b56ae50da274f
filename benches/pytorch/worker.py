"""The PyTorch side of `cargo xtask bench-train`: answers commands, one JSON line each, on standard output.

    {"build": {..}}                     the network of a workload (see `Session`)          -> {"threads"}
    "step"                              one training step                                  -> {"seconds"}
    "evaluate"                          one batch                                          -> {"seconds", "logits"}
    {"tune": {"plan": {..}, "work"}}    PyTorch's fastest layout and optimiser             -> `tune`'s choice
    {"compare": {"file", "noise", "double"}}   gradients against PyTorch's                 -> `compare`'s findings
    "peak_memory"                       highest resident memory since `build`              -> {"mib", "idle_mib"}
    "peak_speed"                        a large matrix product                             -> {"gflops", "what"}
    "quit"

An answer `{"error": ".."}` says why there is none. The only argument is the number of threads.
"""

import json
import sys
import time
from pathlib import Path

import torch

from agreement import compare
from session import Session, tune

# Large enough to reach the processor's peak, small enough for a tenth of a second.
PEAK_MATRIX = 2048
PEAK_TRIALS = 10


class Worker:
    """A session and the commands that it answers."""

    def __init__(self):
        self.session = None
        self.idle_mib = resident_mib("VmRSS")

    def build(self, plan):
        self.session = Session(plan)
        forget_peak()
        return {"threads": torch.get_num_threads(), "version": torch.__version__}

    def step(self):
        return {"seconds": self.session.step()}

    def evaluate(self):
        seconds, logits = self.session.evaluate()
        return {"seconds": seconds, "logits": logits}

    def tune(self, request):
        return tune(request["plan"], request["work"])

    def compare(self, request):
        return compare(self.session, request["file"], request["noise"], request["double"])

    def peak_memory(self):
        return {"mib": resident_mib("VmHWM"), "idle_mib": self.idle_mib}

    def peak_speed(self):
        a, b = torch.randn(2, PEAK_MATRIX, PEAK_MATRIX)
        seconds = []
        for _ in range(PEAK_TRIALS):
            start = time.perf_counter()
            torch.mm(a, b)
            seconds.append(time.perf_counter() - start)
        return {"gflops": 2e-9 * PEAK_MATRIX**3 / min(seconds), "what": f"torch.mm {PEAK_MATRIX}^3, f32"}


def resident_mib(field):
    """A memory count of this process; `None` where the system has no such counts."""
    status = Path("/proc/self/status")
    if not status.exists():
        return None
    lines = (line.split() for line in status.read_text().splitlines())
    return next((int(words[1]) / 1024 for words in lines if words[0] == f"{field}:"), None)


def forget_peak():
    """Lets the peak begin at what is resident now, so that reading the weights does not count (proc(5))."""
    peak = Path("/proc/self/clear_refs")
    if peak.exists():
        peak.write_text("5")


def answer(worker, line):
    command = json.loads(line)
    if isinstance(command, str):
        return getattr(worker, command)()
    ((name, request),) = command.items()
    return getattr(worker, name)(request)


def main():
    torch.set_num_threads(int(sys.argv[1]))
    torch.manual_seed(1)
    torch.backends.mkldnn.set_flags(True)
    worker = Worker()
    for line in sys.stdin:
        if line.strip() == '"quit"':
            return
        try:
            reply = answer(worker, line)
        except Exception as error:  # Whatever it is, the other side must hear of it instead of waiting.
            reply = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(reply), flush=True)


if __name__ == "__main__":
    main()
