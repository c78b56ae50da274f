"""How far gradients from elsewhere are from PyTorch's, tensor by tensor."""

import torch

import safetensors_file


def compare(session, file, noise, double):
    """Relative errors, by the norm of each tensor, of the gradients in `file`.

    With `double`, PyTorch computes in 64 bits, and every tensor also says how far PyTorch's own 32 bits are from that:
    in deep networks that is more than a wrong formula would show in shallow ones. A tensor whose gradient is zero on
    both sides has the error 0; one that is zero on PyTorch's side only has none (`null`).
    """
    loss, single = session.gradients(noise, torch.float32)
    reference, found = single, {"loss": loss, "tensors": []}
    if double:
        found["loss"], reference = session.gradients(noise, torch.float64)
    given = safetensors_file.read(file)
    if missing := reference.keys() - given.keys():
        raise ValueError(f"{file} lacks the gradients of {sorted(missing)[:5]}")
    for name, exact in reference.items():
        entry = {"name": name, "error": relative_error(given[name], exact)}
        if double:
            entry["own_error"] = relative_error(single[name], exact)
        found["tensors"].append(entry)
    return found


def relative_error(found, exact):
    exact = torch.zeros_like(found) if exact is None else exact
    size = exact.double().norm().item()
    distance = (found.double() - exact.double()).norm().item()
    if size == 0.0:
        return 0.0 if distance == 0.0 else None
    return distance / size
