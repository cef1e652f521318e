"""What a result came from: a hash of the code behind a stage."""

import ast
import functools
import hashlib
from importlib.util import find_spec
from pathlib import Path

PACKAGE = "polydx"


@functools.cache
def code_hash(module: str) -> str:
    """Hash the code of a module and of everything of this package that it imports, directly or not.

    Comments, docstrings and layout don't count, so mending words reruns nothing. No module is executed.

    Args:
        module: A dotted name inside this package.

    Returns:
        16 hexadecimal digits.
    """
    digest = hashlib.sha256()
    for name in sorted(closure(module)):
        digest.update(f"{name}\n{_code(name)}\n".encode())
    return digest.hexdigest()[:16]


def closure(module: str) -> set[str]:
    """Name a module and every module of this package that it imports, at its top or in a function, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting.extend(_imports(name))
    return found


@functools.cache
def _imports(module: str) -> list[str]:
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    names: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.extend(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names.append(node.module)
            names.extend(f"{node.module}.{alias.name}" for alias in node.names)
    return [name for name in names if name.split(".")[0] == PACKAGE and _is_module(name)]


@functools.cache
def _root() -> Path:
    spec = find_spec(PACKAGE)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(PACKAGE)
    return Path(spec.origin).parent


def _is_module(name: str) -> bool:
    path = _root().joinpath(*name.split(".")[1:])
    return path.with_suffix(".py").is_file() or path.joinpath("__init__.py").is_file()


def source_of(name: str) -> Path:
    """Return the file of a module or package of this package."""
    path = _root().joinpath(*name.split(".")[1:])
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


@functools.cache
def _code(module: str) -> str:
    return code_without_words(source_of(module).read_text(encoding="utf-8"))


def code_without_words(source: str) -> str:
    """Return what a module's text does, as a text without its comments, docstrings and layout."""
    tree = ast.parse(source)
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = [
                part for part in node.body if not (isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant))
            ]
    return ast.dump(tree)
