"""`magpie doctor`: what this computer can do."""

from __future__ import annotations

import importlib.metadata
from typing import Any

import typer

from magpie_core.commands.error_report import FRONT_END, explain_failure
from magpie_core.commands.options import AsJson, ModelName
from magpie_core.commands.output import print_json, print_line
from magpie_core.errors import MagpieError

_DICOM = ("pydicom", "python-gdcm", "highdicom")
_PACKAGES = (*("numpy", "scipy", "nibabel", "torch", "monai", "safetensors", "matplotlib", "SimpleITK"), *_DICOM)


def doctor(model: ModelName = None, as_json: AsJson = False) -> None:
    """Say what this computer can do, and whether the model is in order."""
    findings = examine(model)
    if as_json:
        print_json(findings)
    else:
        _print(findings)
    if findings["problems"]:
        raise typer.Exit(findings["problems"][0]["exit_code"])


def examine(model: str | None = None) -> dict[str, Any]:
    """Computer, packages and model as a JSON-able dict; what is wrong is listed under `problems`."""
    problems = []
    computer: dict[str, Any] = {}
    described: dict[str, Any] = {}
    try:
        from magpie_core.networks.device import describe_computer

        computer = describe_computer()
        described = _examine_model(model)
    except (ImportError, MagpieError) as error:
        failure = explain_failure(error, FRONT_END)
        problems.append({**failure.as_dict(), "message": str(failure), "exit_code": failure.exit_code})
    return {
        "computer": computer,
        "packages": {package: _version(package) for package in _PACKAGES},
        "model": described,
        "problems": problems,
    }


def _examine_model(name: str | None) -> dict[str, Any]:
    from magpie_core.models.model import load_model
    from magpie_core.models.registry import find_model

    folder = find_model(name)
    loaded = load_model(folder)
    parameters = sum(weights.numel() for weights in loaded.network.parameters())
    return {
        "name": loaded.name,
        "folder": str(folder),
        "sha256": loaded.hash,
        "license": loaded.description.license,
        "parameters": parameters,
        "verified": True,
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _print(findings: dict[str, Any]) -> None:
    computer, model = findings["computer"], findings["model"]
    rows: list[tuple[str, str]] = []
    if computer:
        memory = computer.get("free_memory_gib")
        rows = [
            ("Computer", str(computer["system"])),
            ("Python", str(computer["python"])),
            ("CPU", f"{computer['cpu_threads']} threads, torch uses {computer['torch_threads']}"),
            ("Fast half precision", "yes, used by itself" if computer["fast_bf16"] else "no, full precision is used"),
            ("Free memory", "unknown" if memory is None else f"{memory:.1f} GiB"),
        ]
        for gpu in computer["cuda"]:
            rows.append(("GPU", f"{gpu['name']} ({gpu['device']}), {gpu['free_memory_gib']} GiB free"))
        if computer["mps"] is not None:
            rows.append(("GPU", computer["mps"]["error"] or "of this Mac (MPS), the test run succeeded"))
        elif not computer["cuda"]:
            rows.append(("GPU", "none that can be used; the CPU is used"))
    versions = [f"{package} {version or 'missing'}" for package, version in findings["packages"].items()]
    rows.append(("Packages", ", ".join(versions)))
    if model:
        rows.append(("Model", f"{model['name']}, {model['parameters'] / 1e6:.1f} M parameters, verified"))
        rows.append(("", f"{model['folder']} (license {model['license']})"))
    for title, text in rows:
        print_line(f"{title:21}{text}")
    print_line()
    for problem in findings["problems"]:
        print_line(f"Problem: {problem['message']}")
    if findings["problems"]:
        return
    print_line("This computer can segment studies.")
    missing = [package for package, version in findings["packages"].items() if version is None]
    lacking = ", ".join(package for package in missing if package in _DICOM)
    if "SimpleITK" in missing:
        print_line("Not raw studies, which have to be co-registered first: SimpleITK is missing.")
    if lacking:
        print_line(f"Not DICOM, or not all of it: {lacking} missing.")
    if "SimpleITK" not in missing and not lacking:
        print_line("Raw studies and DICOM too.")
