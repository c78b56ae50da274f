"""Loads a model package (docs/model-package.md) into PyTorch and prints what its models say of given inputs: the way
out of this project's own programs.

    python benches/pytorch/package.py --package DIR --inputs inputs.safetensors --modality t1gd [--tensor NAME]

The inputs are preprocessed as the card says: 32-bit floats `[cases, depth, height, width]`, with or without a channel
of 1 after the cases; one tensor of a safetensors file, or a `.npy` file (which needs numpy). Needs PyTorch and nothing
else. The answer is one JSON object: `folds` with `logits` and `probabilities` of each case, and `probability`, the mean
over the folds.

Every file is compared with the card: names, sizes, SHA-256. Who signed the card is not asked; `consilium-client model
verify` or, without this project's programs, `openssl` does that.
"""

import argparse
import hashlib
import json
import os
import struct
import sys
from pathlib import Path

import torch

import safetensors_file
from network import Network, preferred

SCHEMA = "consilium-model-card/1"
UNLISTED = {"card.json", "signature.json"}
# Cases computed at once: bounds the memory of a long list.
BATCH = 8
CHUNK = 1 << 20


class PackageError(Exception):
    """What is wrong with the package or the inputs."""


class Package:
    """A folder whose files were all compared with its card."""

    def __init__(self, folder):
        self.folder = Path(folder)
        with open(self.folder / "card.json", encoding="utf-8") as file:
            self.card = json.load(file, object_pairs_hook=_without_twins)
        if self.card.get("schema") != SCHEMA:
            raise PackageError(f"the card has the schema {self.card.get('schema')!r}, known is {SCHEMA}")
        self._compare_names()
        for entry in self.card["files"]:
            self._compare(entry)

    def _compare_names(self):
        listed = [entry["path"] for entry in self.card["files"]]
        found = {
            (Path(folder) / name).relative_to(self.folder).as_posix()
            for folder, _, names in os.walk(self.folder)
            for name in names
        }
        # Only names that a listing of the folder has are opened, so a path of the card leads nowhere else.
        missing, unexpected = set(listed) - found, found - set(listed) - UNLISTED
        if missing or unexpected or len(set(listed)) < len(listed):
            raise PackageError(f"missing {sorted(missing)}, unexpected {sorted(unexpected)}")

    def _compare(self, entry):
        path = self.folder / entry["path"]
        if path.is_symlink() or path.stat().st_size != entry["bytes"]:
            raise PackageError(f"{path} is a link or does not have {entry['bytes']} bytes")
        digest = hashlib.sha256()
        with open(path, "rb") as file:
            while chunk := file.read(CHUNK):
                digest.update(chunk)
        if digest.hexdigest() != entry["sha256"]:
            raise PackageError(f"{path} was altered: its SHA-256 is not the one in the card")

    def folds(self, modality):
        """The folds that have a model of `modality`, in order."""
        folds = [model["fold"] for model in self.card["models"] if model["modality"] == modality]
        if not folds:
            raise PackageError(f"no model of {modality}; there are {self.card['modalities']}")
        return sorted(folds)

    def network(self, modality, fold):
        """The model of `modality` that was not trained on `fold`, ready to answer."""
        card = self.card
        network = Network(card["network"]["depth"], card["network"]["width"], card["arm"], card["norm"])
        base = {}
        if card["base"] is not None:
            base = safetensors_file.read(self.folder / "base.safetensors")
        model = self.folder / "models" / f"{modality}-fold{fold}.safetensors"
        network.load(*placed(card["arm"], base, safetensors_file.read(model)))
        return network.eval()

    def predict(self, modality, inputs):
        """The answers of every fold's model, and the mean probability of each case."""
        shape = tuple(self.card["input"]["shape"])
        if inputs.shape[1:] == shape:
            inputs = inputs.unsqueeze(1)
        if inputs.dim() != 5 or inputs.shape[1:] != (1, *shape):
            raise PackageError(f"the inputs are {list(inputs.shape)}, expected [cases, {', '.join(map(str, shape))}]")
        rounds = {model["fold"]: model["round"] for model in self.card["models"] if model["modality"] == modality}
        answers, mean = [], torch.zeros(len(inputs), dtype=torch.float64)
        folds = self.folds(modality)
        for fold in folds:
            network = self.network(modality, fold)
            with torch.no_grad():
                logits = torch.cat([network(batch, preferred) for batch in inputs.split(BATCH)])
            probabilities = torch.sigmoid(logits)
            mean += probabilities.double() / len(folds)
            answers.append(
                {
                    "fold": fold,
                    "round": rounds[fold],
                    "logits": logits.tolist(),
                    "probabilities": probabilities.tolist(),
                }
            )
        return {"folds": answers, "probability": mean.tolist()}

    def threshold(self, modality):
        """The threshold of `modality` alone."""
        groups = (group for group in self.card["groups"] if group["members"] == [modality])
        return next((group["threshold"] for group in groups), None)


def placed(arm, base, trained):
    """The tensors where `Network` looks for them, whatever of the backbone the study trained.

    A trained stem is the stem of both paths; `Network` has the stem of a pretrained arm among the frozen tensors. And
    blocks that the arm medicalnet did not train are those of the backbone.
    """
    base, trained = dict(base), dict(trained)
    for name in base:
        tuned = f"tuned.{name}"
        if not name.startswith("layer"):
            base[name] = trained.pop(tuned, base[name])
        elif arm == "medicalnet":
            trained.setdefault(tuned, base[name])
    return base, trained


def _without_twins(pairs):
    if len({key for key, _ in pairs}) < len(pairs):
        raise PackageError("the card gives a key twice")
    return dict(pairs)


def read_inputs(path, name):
    """The tensor called `name` of the file at `path`, or its only one."""
    path = Path(path)
    if path.suffix == ".npy":
        import numpy  # Only here: everything else does without.

        return torch.from_numpy(numpy.load(path, allow_pickle=False).astype(numpy.float32))
    tensors = safetensors_file.read(path)
    if name is None and len(tensors) == 1:
        return next(iter(tensors.values()))
    if name not in tensors:
        raise PackageError(f"{path} holds {sorted(tensors)}: name one of them with --tensor")
    return tensors[name]


def main():
    parser = argparse.ArgumentParser(description="What the models of a package say of preprocessed inputs.")
    parser.add_argument("--package", required=True, help="the package's folder")
    parser.add_argument("--inputs", required=True, help="safetensors or .npy")
    parser.add_argument("--modality", required=True, help="which models: for instance t1gd")
    parser.add_argument("--tensor", help="the inputs' name, where the safetensors file holds several")
    arguments = parser.parse_args()
    try:
        package = Package(arguments.package)
        answer = package.predict(arguments.modality, read_inputs(arguments.inputs, arguments.tensor))
    except (PackageError, OSError, ValueError, KeyError, struct.error) as error:
        sys.exit(f"error: {type(error).__name__}: {error}")
    card = package.card
    about = {
        "study": card["study_hash"],
        "arm": card["arm"],
        "modality": arguments.modality,
        "threshold": package.threshold(arguments.modality),
        "warning": "research, not diagnosis",
        # The study may have averaged drawn routings; here each block takes the path that the policy prefers.
        "route_samples": {"here": 0, "study": card["route_samples"]},
    }
    print(json.dumps(about | answer, indent=1))


if __name__ == "__main__":
    main()
