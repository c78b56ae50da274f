"""One network under measurement: its steps, its evaluations, its gradients."""

import time
from pathlib import Path

import torch
from torch.nn import functional as F

import safetensors_file
from network import Network, gumbel_differences, preferred, straight_through

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last_3d}
# Times each candidate of `tune` is run; the fastest counts, because the machine may be shared.
TRIALS = 3


class Session:
    """A network with the weights, cases and hyper-parameters of a workload.

    `plan` is the object that the worker's `build` command gets: `depth`, `width`, `arm`, `norm`, `precision` (`f32` or
    `bf16`), `weights` (folder of `base.safetensors`, `trainable.safetensors` and `cases.safetensors`),
    `learning_rate`, `policy_learning_rate`, `weight_decay`, `temperature`, and of `tune`'s choices `layout` and
    `fused`.
    """

    def __init__(self, plan):
        self.plan = plan
        folder = Path(plan["weights"])
        self.layout = LAYOUTS[plan.get("layout", "contiguous")]
        self.network = Network(plan["depth"], plan["width"], plan["arm"], plan["norm"])
        self.network.load(
            safetensors_file.read(folder / "base.safetensors"),
            safetensors_file.read(folder / "trainable.safetensors"),
        )
        self.network.to(memory_format=self.layout)
        cases = safetensors_file.read(folder / "cases.safetensors")
        self.input = cases["input"].contiguous(memory_format=self.layout)
        self.targets = cases["targets"]
        self.optimiser = self.adamw(plan.get("fused", False))

    def adamw(self, fused):
        """Two step sizes, as ours: the network's and the policy's."""
        policy = self.network.policy
        own = [] if policy is None else list(policy.parameters())
        known = {id(parameter) for parameter in own}
        trunk = [p for p in self.network.parameters() if p.requires_grad and id(p) not in known]
        groups = [{"params": trunk, "lr": self.plan["learning_rate"]}]
        if own:
            groups.append({"params": own, "lr": self.plan["policy_learning_rate"]})
        decay = self.plan["weight_decay"]
        # Without `fused` PyTorch chooses between its other implementations itself.
        choice = {"fused": True} if fused else {}
        return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, weight_decay=decay, **choice)

    def autocast(self):
        return torch.autocast("cpu", torch.bfloat16, enabled=self.plan["precision"] == "bf16")

    def loss(self, noise=None):
        """The mean loss of the batch, in training mode, with `noise` or, if there is none, random noise."""
        self.network.train()

        def decide(preferences):
            drawn = gumbel_differences(*preferences.shape) if noise is None else noise
            return straight_through(preferences, drawn, self.plan["temperature"])

        with self.autocast():
            logits = self.network(self.input, decide)
        targets = self.targets.to(self.input.dtype)
        return F.binary_cross_entropy_with_logits(logits.to(targets.dtype), targets)

    def step(self):
        """One training step; its seconds."""
        start = time.perf_counter()
        self.optimiser.zero_grad(set_to_none=True)
        self.loss().backward()
        self.optimiser.step()
        return time.perf_counter() - start

    def evaluate(self):
        """Seconds and logits of one batch, both paths of every block computed."""
        self.network.eval()
        start = time.perf_counter()
        with torch.inference_mode(), self.autocast():
            logits = self.network(self.input, preferred)
        seconds = time.perf_counter() - start
        return seconds, logits.float().tolist()

    def gradients(self, noise, precision):
        """Loss and gradients by the manifest's names from `noise`, computed in `precision`."""
        self.network.to(precision)
        self.input = self.input.to(precision)
        self.optimiser.zero_grad(set_to_none=True)
        rows = self.input.shape[0]
        loss = self.loss(None if noise is None else torch.tensor(noise, dtype=precision).reshape(rows, -1))
        loss.backward()
        named = self.network.named_parameters()
        gradients = {name: p.grad for name, p in named if p.requires_grad}
        self.optimiser.zero_grad(set_to_none=True)
        return loss.item(), gradients


def tune(plan, work):
    """The layout, and for training the optimiser's implementation, with which PyTorch is fastest here.

    `work` is `train` or `evaluate`.
    """
    times = {}
    for layout in LAYOUTS:
        session = Session({**plan, "layout": layout})
        run = session.step if work == "train" else lambda: session.evaluate()[0]
        run()
        times[layout] = min(run() for _ in range(TRIALS))
    layout = min(times, key=times.get)
    choice = {"layout": layout, "fused": False, "seconds": times}
    if work == "train":
        session = Session({**plan, "layout": layout})
        session.loss().backward()
        steps = {fused: _fastest_step(session.adamw(fused)) for fused in (False, True)}
        choice["fused"] = steps[True] < steps[False]
        choice["optimiser_seconds"] = {"default": steps[False], "fused": steps[True]}
    return choice


def _fastest_step(optimiser):
    def timed():
        start = time.perf_counter()
        optimiser.step()
        return time.perf_counter() - start

    timed()
    return min(timed() for _ in range(TRIALS))
