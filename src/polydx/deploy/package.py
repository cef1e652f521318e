"""The contest platform's serving folder (Huawei ModelArts' package layout for PyTorch).

DIR/model/                     the fixed name of the folder that the platform imports
    config.json                what the model is, its interface, and the exact packages that it needs
    customize_service.py       the code that answers
    polydx/                    the modules that it needs, and no other
    student/                   the student's folder as it was shipped
    weights.pth                empty
"""

import importlib.resources
import platform
import shutil
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from polydx.artifacts import replacing, write_json
from polydx.deploy.outputs import refuse_below_file, writing
from polydx.deploy.serving import UPLOAD
from polydx.deploy.student_model import ONNX_FILE, load_student
from polydx.errors import UserError
from polydx.provenance import PACKAGE, closure, source_of

ENTRY = "customize_service.py"
SERVING_MODULE = "polydx.deploy.serving"
NEEDED = ("torch", "transformers", "numpy")
"""Distributions that the copied modules import."""
MODEL_FILE = "weights.pth"
"""The platform refuses a PyTorch package without such a file and hands its path over. It stays empty: a `.pth` is a
pickle, the weights are safetensors."""


def package(model: Path, target: Path) -> None:
    """Write the serving folder of a student.

    Args:
        model: The student's folder.
        target: The folder to make; an earlier package there is replaced.

    Raises:
        UserError: The student can't be loaded, a package that it needs isn't installed, or `target` is something else
            or can't be written.
    """
    load_student(model)
    with writing(target):
        _check_target(target, model)
    with writing(target), replacing(target) as folder:
        inner = folder / "model"
        # Hidden files are the engine's own.
        shutil.copytree(model, inner / "student", ignore=shutil.ignore_patterns(".*"))
        copy_modules(inner)
        entry = importlib.resources.files("polydx.deploy").joinpath(ENTRY).read_text(encoding="utf-8")
        (inner / ENTRY).write_text(entry, encoding="utf-8")
        (inner / MODEL_FILE).touch()
        needed = (*NEEDED, "onnxruntime") if (model / ONNX_FILE).is_file() else NEEDED
        write_json(inner / "config.json", platform_config(pinned(needed)))


def _check_target(target: Path, model: Path) -> None:
    """See that no folder but an earlier package would be replaced, nor the student be in the way."""
    fix = "name a new folder"
    refuse_below_file(target)
    if target.exists() and not (target / "model" / ENTRY).is_file():
        raise UserError(str(target), "exists and is no serving folder", fix)
    if target.resolve() in (model.resolve(), *model.resolve().parents):
        raise UserError(str(target), "holds the student", fix)
    if model.resolve() in target.resolve().parents:
        raise UserError(str(target), "lies in the student's folder", fix)


def copy_modules(target: Path) -> None:
    """Copy what `SERVING_MODULE` imports of this package, directly or not, and the packages around it."""
    names = closure(SERVING_MODULE)
    parents = {".".join(parts[:end]) for name in names for parts in [name.split(".")] for end in range(1, len(parts))}
    for name in sorted(names | parents):
        source = source_of(name)
        copied = target / PACKAGE / source.relative_to(source_of(PACKAGE).parent)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, copied)


def pinned(names: tuple[str, ...]) -> dict[str, str]:
    """Exact versions, here, of distributions and of all that they require on this machine.

    Raises:
        UserError: One of them isn't installed.
    """
    found: dict[str, str] = {}
    waiting = list(names)
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in found:
            continue
        try:
            found[name] = Version(version(name)).public  # a local build (+cpu) can't be had from an index
        except PackageNotFoundError:
            raise UserError(name, "isn't installed", "install requirements.txt") from None
        wanted = (Requirement(line) for line in requires(name) or ())
        waiting += [each.name for each in wanted if each.marker is None or each.marker.evaluate({"extra": ""})]
    return dict(sorted(found.items()))


def platform_config(packages: dict[str, str]) -> dict[str, object]:
    """What the platform's `config.json` says: one interface, one uploaded file, and exact packages by version."""
    answer = {"type": "object", "properties": {"emr_id": {"type": "array", "items": [{"type": "string"}]}}}
    upload = {"type": "object", "properties": {UPLOAD: {"type": "file"}}}
    return {
        "model_type": "PyTorch",
        "runtime": f"python{'.'.join(platform.python_version_tuple()[:2])}",
        "model_algorithm": "multi_label_diagnosis",
        "apis": [
            {
                "protocol": "http",
                "url": "/",
                "method": "post",
                "request": {"Content-type": "multipart/form-data", "data": upload},
                "response": {"Content-type": "application/json", "data": answer},
            }
        ],
        "dependencies": [
            {
                "installer": "pip",
                "packages": [
                    {"package_name": name, "package_version": exact, "restraint": "EXACT"}
                    for name, exact in packages.items()
                ],
            }
        ],
    }
