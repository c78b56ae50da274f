"""How far gradients from elsewhere are from PyTorch's, tensor by tensor."""

import torch

import safetensors_file

# Times PyTorch's own 32 bits are tried, each but the first with inputs that differ in their last bit. In a deep
# network the sign of a few of its millions of sums before a ReLU is a matter of rounding, and each of them moves
# gradients by a percent or so; one try may happen to meet none.
OWN_TRIES = 4
LAST_BIT = 2.0**-23


def compare(session, file, noise, double):
    """Relative errors, by the norm of each tensor, of the gradients in `file`.

    With `double`, PyTorch computes in 64 bits, and every tensor also says how far PyTorch's own 32 bits are from that
    at most. A tensor whose gradient is zero on both sides has the error 0; one that is zero on PyTorch's side only
    has none (`null`).
    """
    loss, reference = session.gradients(noise, torch.float64 if double else torch.float32)
    given = safetensors_file.read(file)
    if missing := reference.keys() - given.keys():
        raise ValueError(f"{file} lacks the gradients of {sorted(missing)[:5]}")
    tensors = {name: {"error": relative_error(given[name], exact)} for name, exact in reference.items()}
    if double:
        for name, error in own_errors(session, noise, reference).items():
            tensors[name]["own_error"] = error
    return {"loss": loss, "tensors": [{"name": name, **entry} for name, entry in tensors.items()]}


def own_errors(session, noise, reference):
    """The largest error of each tensor in PyTorch's own 32 bits."""
    largest = dict.fromkeys(reference, 0.0)
    exact_input = session.input
    for attempt in range(OWN_TRIES):
        if attempt > 0:
            session.input = exact_input * (1.0 + LAST_BIT * torch.randn_like(exact_input))
        _, gradients = session.gradients(noise, torch.float32)
        for name, exact in reference.items():
            largest[name] = max(largest[name], relative_error(gradients[name], exact) or 0.0)
    session.input = exact_input
    return largest


def relative_error(found, exact):
    exact = torch.zeros_like(found) if exact is None else exact
    size = exact.double().norm().item()
    distance = (found.double() - exact.double()).norm().item()
    if size == 0.0:
        return 0.0 if distance == 0.0 else None
    return distance / size
