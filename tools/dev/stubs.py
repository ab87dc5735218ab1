"""What the device library offers, and what its type stubs say: read from source, compared in both directions.

The library cannot be imported here (module `tls` is MicroPython's), so both sides are read as syntax trees.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
LIBRARY = REPOSITORY / "lib" / "rootlet"
STUBS = REPOSITORY / "typings" / "rootlet"

# Modules that no application imports: what the others are made of. They have no stubs.
INTERNAL = frozenset(
    {
        *("addresses", "alerts", "beginning", "cadata", "civil", "codes", "constraints", "diagnosis", "dial"),
        *("dtls_flight", "dtls_observer", "fetch", "flight", "http_faults", "http_fields", "integrity", "judging"),
        *("names", "policy", "probe", "refusals", "rules", "selftest", "settings", "signature", "store", "times"),
        *("trace_dtls", "update_state", "webpki", "wire"),
        *("modem.bring_up", "modem.configured", "modem.network_time", "modem.tcp", "modem.unsolicited"),
        *("web.download", "web.inflate", "web.link", "web.message", "web.proxy", "web.redirect"),
    }
)

# What stands in a stub only, or in the code only, with the reason.
EXCEPTIONS = {
    "_types": "types that the stubs share",
    "web.aio.AsyncResponse": "a ClientResponse of an AsyncClient, whose methods are awaited",
    "web.aio.AsyncClient.do": "how the two clients differ inside",
    "web.aio.AsyncLink": "how the two clients differ inside",
    "web.client.Client.__aenter__": "of AsyncClient, which has it in its stub",
    "web.client.Client.__aexit__": "of AsyncClient, which has it in its stub",
    "web.response.ClientResponse.__aenter__": "of AsyncClient's responses",
    "web.response.ClientResponse.__aexit__": "of AsyncClient's responses",
    "identity.EcdsaSign": "a type",
    "observer.OnIssuer": "a type",
    "trace.Sink": "a type",
}
# Methods that every object has, or that only repeat a base's.
_SPECIAL = frozenset(
    {"__init__", "__call__", "__enter__", "__exit__", "__aenter__", "__aexit__", "__getitem__", "__contains__"}
)


@dataclass
class Function:
    """A function or method. `parameters`: name, kind and default (None: there is none; `...`: not told)."""

    line: int
    asynchronous: bool
    decorators: tuple[str, ...]
    parameters: tuple[tuple[str, str, str | None], ...]

    @property
    def hands_on(self) -> bool:
        """Whether it takes all that another one does."""
        return [kind for _, kind, _ in self.parameters] == ["*", "**"]


@dataclass
class Class:
    """A class with its own members; `bases` as they are written."""

    line: int
    bases: tuple[str, ...]
    members: dict[str, Function | int] = field(default_factory=dict)


Module = dict[str, "Function | Class | int"]
"""What a module has, by name; a number is the line of anything but functions and classes."""


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts) or "__init__"


def public(name: str) -> bool:
    return not name.startswith("_")


def _function(node: ast.FunctionDef | ast.AsyncFunctionDef) -> Function:
    arguments = node.args
    found: list[tuple[str, str, str | None]] = []
    plain = [*arguments.posonlyargs, *arguments.args]
    defaults = [None] * (len(plain) - len(arguments.defaults)) + [_value(each) for each in arguments.defaults]
    found += [(each.arg, "plain", default) for each, default in zip(plain, defaults, strict=True)]
    if arguments.vararg:
        found.append((arguments.vararg.arg, "*", None))
    for each, value in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True):
        found.append((each.arg, "keyword", None if value is None else _value(value)))
    if arguments.kwarg:
        found.append((arguments.kwarg.arg, "**", None))
    decorators = tuple(ast.unparse(each) for each in node.decorator_list)
    return Function(node.lineno, isinstance(node, ast.AsyncFunctionDef), decorators, tuple(found))


def _value(node: ast.expr) -> str:
    try:
        return repr(ast.literal_eval(node))
    except ValueError:
        return "..."  # a name or an expression: cannot be compared


def _targets(node: ast.AST) -> Iterator[tuple[ast.expr, int]]:
    if isinstance(node, ast.Assign):
        for target in node.targets:
            for each in target.elts if isinstance(target, ast.Tuple) else [target]:
                yield each, node.lineno
    elif isinstance(node, ast.AnnAssign | ast.AugAssign):
        yield node.target, node.lineno


def _class(node: ast.ClassDef) -> Class:
    found = Class(node.lineno, tuple(ast.unparse(base) for base in node.bases))
    for each in node.body:
        if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef):
            if public(each.name) or each.name in _SPECIAL:
                found.members[each.name] = _function(each)
            for inner in ast.walk(each):
                for target, line in _targets(inner):
                    if (
                        isinstance(target, ast.Attribute)
                        and ast.unparse(target.value) == "self"
                        and public(target.attr)
                    ):
                        found.members.setdefault(target.attr, line)
        else:
            for target, line in _targets(each):
                if isinstance(target, ast.Name) and public(target.id):
                    found.members.setdefault(target.id, line)
    return found


def read(path: Path) -> Module:
    """The public names of a module or stub, with those that its `__getattr__` makes."""
    found: Module = {}
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            if node.name == "__getattr__":
                for made in _made_names(node, tree):
                    found.setdefault(made, node.lineno)
            elif public(node.name):
                found[node.name] = _function(node)
        elif isinstance(node, ast.ClassDef):
            if public(node.name):
                found[node.name] = _class(node)
        elif isinstance(node, ast.ImportFrom) and path.suffix == ".pyi":
            for alias in node.names:
                if alias.asname == alias.name:  # PEP 484: imported to be had from here
                    found[alias.name] = node.lineno
        else:
            for target, line in _targets(node):
                if isinstance(target, ast.Name) and (public(target.id) or target.id == "__version__"):
                    found.setdefault(target.id, line)
    return found


def _made_names(function: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module) -> Iterator[str]:
    """Names that a module's `__getattr__` knows: those it compares with, the keys of _HOME, the classes of CLASSES."""
    for node in ast.walk(function):
        if isinstance(node, ast.Compare) and isinstance(node.left, ast.Name) and node.left.id == "name":
            for each in node.comparators:
                if isinstance(each, ast.Constant) and isinstance(each.value, str):
                    yield each.value
    used = {node.id for node in ast.walk(function) if isinstance(node, ast.Name)}
    for node in tree.body:
        for target, _ in _targets(node):
            if not isinstance(target, ast.Name) or target.id not in used or not isinstance(node, ast.Assign):
                continue
            if target.id == "_HOME":
                yield from ast.literal_eval(node.value)
            elif target.id == "CLASSES":
                for line in filter(None, str(ast.literal_eval(node.value)).splitlines()):
                    yield line.partition("|")[0] + "Error"


class Library:
    """All modules below a folder, with what they inherit from each other."""

    def __init__(self, root: Path, suffix: str) -> None:
        self.root = root
        self.paths = {module_name(path, root): path for path in sorted(root.rglob(f"*{suffix}"))}
        self.modules = {name: read(path) for name, path in self.paths.items()}
        self._classes: dict[str, Class] = {}
        for module in self.modules.values():
            for name, each in module.items():
                if isinstance(each, Class):
                    self._classes.setdefault(name, each)

    def members(self, given: Class) -> dict[str, Function | int]:
        """The members of a class and of its bases, as far as these are in the library."""
        found: dict[str, Function | int] = {}
        for base in given.bases:
            above = self._classes.get(base.rpartition(".")[2])
            if above is not None and above is not given:
                found.update(self.members(above))
        return {**found, **given.members}


def differences(library: Path = LIBRARY, stubs: Path = STUBS, internal: frozenset[str] = INTERNAL) -> list[str]:
    """Where code and stubs disagree, a line for each."""
    code, typed = Library(library, ".py"), Library(stubs, ".pyi")
    lines = []
    for name in sorted({*code.modules, *typed.modules}):
        if name not in code.modules:
            if name not in EXCEPTIONS:
                lines.append(f"{name}: there is a stub, but no module")
        elif name in internal:
            if name in typed.modules:
                lines.append(f"{name}: is called internal, but has a stub")
        elif name not in typed.modules:
            lines.append(f"{name}: has no stub")
        elif name == "__init__":
            lines += _top_level(code, typed, internal)
        else:
            lines += _module(name, code, typed)
    lines += [f"{name}: is called internal, but does not exist" for name in sorted(internal - set(code.modules))]
    return lines


def _top_level(code: Library, typed: Library, internal: frozenset[str]) -> Iterator[str]:
    """`rootlet` itself: its names, every module that is no internal one, every error."""
    wanted = set(code.modules["__init__"])
    wanted |= {name for name in code.modules if "." not in name and name not in internal and name != "__init__"}
    wanted |= {name for name in code.modules.get("errors", ()) if name.endswith("Error")}
    there = set(typed.modules["__init__"])
    for name in sorted(wanted - there):
        yield f"__init__: {name} is missing in the stub"
    for name in sorted(there - wanted):
        yield f"__init__: {name} is in the stub only"


def _module(name: str, code: Library, typed: Library) -> Iterator[str]:
    real, stub = code.modules[name], typed.modules[name]
    modules = {each.rpartition(".")[2] for each in code.modules if each.rpartition(".")[0] == name}
    for each in sorted({*real, *stub}):
        where = f"{name}.{each}"
        if where in EXCEPTIONS or (each not in real and each in modules):
            continue
        if each not in stub:
            yield f"{where} is missing in the stub"
        elif each not in real:
            if not _imported(code.paths[name], each):
                yield f"{where} is in the stub only"
        else:
            yield from _compare(where, real[each], stub[each], code, typed)


def _imported(path: Path, name: str) -> bool:
    """Whether a module has a name because it imports it at its top."""
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, ast.ImportFrom) and any(name == (alias.asname or alias.name) for alias in node.names):
            return True
    return False


def _compare(
    where: str, real: Function | Class | int, stub: Function | Class | int, code: Library, typed: Library
) -> Iterator[str]:
    if isinstance(real, Function) and isinstance(stub, Function):
        yield from _signature(where, real, stub)
    elif isinstance(real, Class) and isinstance(stub, Class):
        yield from _class_members(where, real, stub, code, typed)
    elif isinstance(real, Function) and real.hands_on:
        pass  # to a function of another module, which the stub names
    elif isinstance(real, Function) or isinstance(stub, Function) or isinstance(real, Class):
        # A class that __getattr__ makes is a number here.
        yield f"{where} is another kind of thing in the stub"


def _class_members(where: str, real: Class, stub: Class, code: Library, typed: Library) -> Iterator[str]:
    inherited, told = code.members(real), typed.members(stub)
    for name in sorted({*real.members, *stub.members}):
        member = f"{where}.{name}"
        if member in EXCEPTIONS:
            continue
        if name not in told:
            yield f"{member} is missing in the stub"
        elif name not in inherited:
            yield f"{member} is in the stub only"
        else:
            left, right = inherited[name], told[name]
            if isinstance(left, Function) and isinstance(right, Function):
                awaited = where.startswith("web.aio.")
                yield from _signature(member, left, right, awaited=awaited)
            elif isinstance(right, Function) and not isinstance(left, Function):
                if not _is_function_value(member):
                    yield f"{member} is a method in the stub only"
            elif isinstance(left, Function) and "property" not in left.decorators and name != "Observer":
                yield f"{member} is no method in the stub"


def _is_function_value(member: str) -> bool:
    """Attributes that hold a function."""
    return member.endswith(".do")


def _signature(where: str, real: Function, stub: Function, *, awaited: bool = False) -> Iterator[str]:
    if real.asynchronous != stub.asynchronous and not awaited:
        yield f"{where} is {'asynchronous' if real.asynchronous else 'not asynchronous'}, the stub says otherwise"
    if ("property" in real.decorators) != ("property" in stub.decorators):
        yield f"{where} is a property on one side only"
    names = [(name, kind) for name, kind, _ in real.parameters]
    if names != [(name, kind) for name, kind, _ in stub.parameters]:
        yield f"{where} takes {_list(real)}, the stub says {_list(stub)}"
        return
    for (name, _, default), (_, _, told) in zip(real.parameters, stub.parameters, strict=True):
        if (default is None) != (told is None):
            yield f"{where}: {name} has a default on one side only"
        elif default != told and "..." not in (default, told):
            yield f"{where}: the default of {name} is {default}, the stub says {told}"


def _list(function: Function) -> str:
    marks = {"*": "*", "**": "**"}
    return "(" + ", ".join(marks.get(kind, "") + name for name, kind, _ in function.parameters) + ")"
