"""The order of the rooms, and what a syntax tree says about imports and about calls that change something."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

PACKAGE = "alaas_pipeline"

# From top to bottom: a room imports itself, rooms below it, and what all may read.
LAYERS = (
    {"cli", "demo", "doctor"}, {"definitions"}, {"automation"}, {"checks"}, {"assets"}, {"resources"}, {"picking"}, {"report"}, {"labels"}, {"alaas"},
    {"avala"}, {"ledger"}, {"engine"},
)  # fmt: skip
# Rooms that know less than their place allows.
NARROW = {"picking": {"picking", "report", "engine"}}
FOR_ALL = {"", "errors", "config", "home", "locks", "store", "sources", "money", "remote", "whole_file"}
CONFIG_READS = {"", "errors", "config", "home", "locks", "money"}
NO_DAGSTER = {"avala", "ledger", "alaas", "labels", "report", "picking", "engine", "sandbox", *FOR_ALL}
FORBIDDEN = {
    **{name: {"dagster", "dagster_aws"} for name in NO_DAGSTER},
    "engine": {"dagster", "dagster_aws", "httpx", "duckdb"},
    "picking": {"dagster", "dagster_aws", "httpx", "duckdb"},
}
SENDERS = {f"{PACKAGE}.avala.{name}" for name in ("writes", "transport", "storage")}
CHANGING = {"POST", "PUT", "PATCH", "DELETE"}
SENDING_CALLS = {"post", "put", "patch", "delete", "post_form"}
OTHER_CLIENTS = {"requests", "urllib.request", "urllib3", "http.client", "aiohttp"}


@dataclass(frozen=True)
class Import:
    """`who` imports `what`; `typing_only` when only a type checker sees it."""

    who: str
    what: str
    typing_only: bool = False


def modules_of(folder: Path) -> dict[str, ast.Module]:
    """Every module below a package's folder, parsed."""
    found = {}
    for path in sorted(folder.rglob("*.py")):
        parts = [folder.name, *path.relative_to(folder).with_suffix("").parts]
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text(encoding="utf-8"))
    return found


def imports_of(modules: Mapping[str, ast.Module]) -> set[Import]:
    """Every import, those inside functions too. A name that is a module counts as an import of that module."""
    found = set()
    for who, tree in modules.items():
        typing_only = {
            id(inner)
            for node in ast.walk(tree)
            if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
            for statement in node.body
            for inner in ast.walk(statement)
        }
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                assert not node.level, f"{who} has a relative import"
                assert node.module
                names = []
                for alias in node.names:
                    inner = f"{node.module}.{alias.name}"
                    names.append(inner if inner in modules or not node.module.startswith(PACKAGE) else node.module)
            else:
                continue
            found |= {Import(who, name, id(node) in typing_only) for name in names}
    return found


def room(module: str) -> str:
    """The room that a module of this project stands in: `alaas_pipeline.ledger.rounds` stands in `ledger`."""
    return module.removeprefix(PACKAGE).removeprefix(".").split(".")[0]


def is_ours(module: str) -> bool:
    return module == PACKAGE or module.startswith(f"{PACKAGE}.")


def allowed(who: str, what: str) -> bool:
    """Whether a room may import another."""
    if who == what:
        return True
    if "sandbox" in (who, what):
        return what == "sandbox" and who in LAYERS[0]
    if who in FOR_ALL:
        return what in (CONFIG_READS if who in CONFIG_READS else FOR_ALL)
    if who in NARROW:
        return what in NARROW[who] | FOR_ALL
    place = next(number for number, layer in enumerate(LAYERS) if who in layer)
    return what in FOR_ALL or any(what in layer for layer in LAYERS[place:])


def wrong_imports(modules: Mapping[str, ast.Module]) -> set[tuple[str, str]]:
    """Imports against the order of the rooms, or of a library that a room must not know."""
    wrong = set()
    for one in imports_of(modules):
        if is_ours(one.what):
            bad = not allowed(room(one.who), room(one.what))
        else:
            bad = one.what.split(".")[0] in FORBIDDEN.get(room(one.who), set())
        if bad:
            wrong.add((one.who, one.what))
    return wrong


def circle(modules: Mapping[str, ast.Module]) -> list[str]:
    """A chain of modules that import each other, or nothing."""
    after: dict[str, set[str]] = {name: set() for name in modules}
    for one in imports_of(modules):
        if one.what in modules and one.what != one.who and not one.typing_only:
            after[one.who].add(one.what)
    done: set[str] = set()

    def walk(name: str, path: list[str]) -> list[str]:
        if name in path:
            return [*path[path.index(name) :], name]
        if name not in done:
            for following in sorted(after[name]):
                if found := walk(following, [*path, name]):
                    return found
            done.add(name)
        return []

    return next((found for name in sorted(modules) if (found := walk(name, []))), [])


def sends(modules: Mapping[str, ast.Module]) -> set[tuple[str, str]]:
    """Calls outside the senders that may change something on a server, and imports of other HTTP clients."""
    found = set()
    for who, tree in modules.items():
        if room(who) == "sandbox":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and who not in SENDERS and _may_change(node):
                found.add((who, ast.unparse(node.func)))
            elif isinstance(node, ast.ImportFrom) and node.module == "httpx" and who not in SENDERS:
                found |= {
                    (who, f"httpx.{alias.name}")
                    for alias in node.names
                    if alias.name in {*SENDING_CALLS, "request", "stream"}
                }
    for one in imports_of(modules):
        if one.what in OTHER_CLIENTS or any(one.what.startswith(f"{client}.") for client in OTHER_CLIENTS):
            found.add((one.who, one.what))
    return found


def _may_change(call: ast.Call) -> bool:
    if any(isinstance(argument, ast.Constant) and argument.value in CHANGING for argument in call.args):
        return True
    if any(isinstance(word.value, ast.Constant) and word.value.value in CHANGING for word in call.keywords):
        return True
    if not isinstance(call.func, ast.Attribute):
        return False
    if call.func.attr in ("request", "stream", "send", "build_request"):
        first = call.args[0] if call.args else None
        return not (isinstance(first, ast.Constant) and first.value in ("GET", "HEAD"))
    return call.func.attr in SENDING_CALLS
