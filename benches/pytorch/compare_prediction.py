"""Compares what `consilium-client predict` and PyTorch say of one scan.

    consilium-client predict --model DIR --case CASE --json --save-inputs inputs.safetensors > forecast.json
    python benches/pytorch/compare_prediction.py --package DIR --inputs inputs.safetensors --forecast forecast.json

Prints probability and logit of each model, ours and PyTorch's, and the largest difference of probabilities; exit code
1 where it is above 1e-4, or where one of them has an answer that the other lacks. Predictions that averaged drawn
routings cannot be compared.
"""

import argparse
import json
import sys

import safetensors_file
from package import Package

TOLERANCE = 1e-4


def main():
    parser = argparse.ArgumentParser(description="Compares a prediction with PyTorch's of the same package.")
    parser.add_argument("--package", required=True, help="the package's folder")
    parser.add_argument("--inputs", required=True, help="what predict --save-inputs wrote")
    parser.add_argument("--forecast", required=True, help="what predict --json wrote")
    arguments = parser.parse_args()
    package = Package(arguments.package)
    if package.card["route_samples"] > 0:
        sys.exit("error: the study averaged drawn routings, PyTorch takes the preferred ones")
    inputs = safetensors_file.read(arguments.inputs)
    with open(arguments.forecast, encoding="utf-8") as file:
        ours = {modality["modality"]: modality for modality in json.load(file)["modalities"]}
    if set(ours) != set(inputs):
        sys.exit(f"error: the forecast has {sorted(ours)}, the inputs {sorted(inputs)}")
    largest = max(compare(package, modality, ours[modality], inputs[modality]) for modality in sorted(ours))
    print(f"largest difference {largest:.1e}, at most {TOLERANCE:.0e} is allowed")
    sys.exit(0 if largest <= TOLERANCE else 1)


def compare(package, modality, ours, inputs):
    """The largest difference of probabilities over the fold models of `modality`."""
    answers = package.predict(modality, inputs)["folds"]
    theirs = {fold["fold"]: (fold["probabilities"][0], fold["logits"][0]) for fold in answers}
    if {fold["fold"] for fold in ours["folds"]} != set(theirs):
        sys.exit(f"error: {modality} has folds {[fold['fold'] for fold in ours['folds']]} and {sorted(theirs)}")
    largest = 0.0
    for fold in ours["folds"]:
        probability, logit = theirs[fold["fold"]]
        print(
            f"{modality} fold {fold['fold']}: probability {fold['probability']:.7f} and {probability:.7f}, "
            f"logit {fold['logit']:.7f} and {logit:.7f}"
        )
        largest = max(largest, abs(fold["probability"] - probability))
    return largest


if __name__ == "__main__":
    main()
