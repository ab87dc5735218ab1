"""Writes the annotations of type stubs into the source that they describe, so that a type checker can look inside.

Annotations cost bytes and RAM on a board, so the device library has none of its own.
"""

from __future__ import annotations

import ast
import io
import tokenize
from collections.abc import Iterator

_Definition = ast.FunctionDef | ast.AsyncFunctionDef
_NOTHING = ast.ClassDef("_", [], [], [], [])  # the stub of a class that has none


class _Edits:
    """Pieces of text to be put into a source file, each at a place of the original."""

    def __init__(self, source: str) -> None:
        self._lines = source.splitlines(keepends=True)
        self._at: list[tuple[int, int, str]] = []
        # Of every opening bracket, where it is closed.
        self._closing: dict[tuple[int, int], tuple[int, int]] = {}
        self._opening: list[tuple[int, int]] = []
        open_now = []
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type != tokenize.OP:
                continue
            if token.string in "([{":
                open_now.append(token.start)
                self._opening.append(token.start)
            elif token.string in ")]}":
                self._closing[open_now.pop()] = token.end

    def insert(self, line: int, column: int, text: str) -> None:
        """`line` from 1, `column` from 0, in characters."""
        self._at.append((line - 1, column, text))

    def after(self, node: ast.expr | ast.arg, text: str) -> None:
        """Puts `text` behind a node, which gives its place in bytes."""
        end = node.end_lineno or node.lineno
        line = self._lines[end - 1].encode()
        self.insert(end, len(line[: node.end_col_offset].decode()), text)

    def before(self, node: ast.stmt, text: str) -> None:
        """Puts `text` before a statement."""
        line = self._lines[node.lineno - 1].encode()
        self.insert(node.lineno, len(line[: node.col_offset].decode()), text)

    def after_parameters(self, node: _Definition, text: str) -> None:
        """Puts `text` behind the bracket that closes a function's parameters."""
        first = min(place for place in self._opening if place >= (node.lineno, node.col_offset))
        self.insert(*self._closing[first], text)

    def text(self) -> str:
        """The file with everything put in. Every line keeps its number."""
        lines = list(self._lines)
        # From the end, so that the places before stay right; of several at one place the last first.
        for (line, column, text), _ in sorted(
            zip(self._at, range(len(self._at)), strict=True), key=lambda each: (each[0][:2], each[1]), reverse=True
        ):
            lines[line] = lines[line][:column] + text + lines[line][column:]
        return "".join(lines)


def annotate(source: str, stub: str) -> str:
    """`source` with the annotations of `stub`, on the same lines. What the annotations need is imported at the end.

    What has no annotation there and begins as None may become anything.
    """
    tree, typed = ast.parse(source), ast.parse(stub)
    edits = _Edits(source)
    _body(tree.body, typed.body, edits)
    needed = [ast.unparse(node) for node in typed.body if _is_needed(node)]
    needed.append("from typing import Any as _Any")
    return edits.text().rstrip("\n") + "\n" + "\n".join(needed) + "\n"


def _is_needed(node: ast.stmt) -> bool:
    """Imports, aliases and type variables; not what a stub only passes on."""
    if isinstance(node, ast.ImportFrom):
        return not all(alias.name == alias.asname for alias in node.names)
    if isinstance(node, ast.AnnAssign):
        return ast.unparse(node.annotation) == "TypeAlias"
    return isinstance(node, ast.Import | ast.Assign)


def _body(body: list[ast.stmt], typed: list[ast.stmt], edits: _Edits) -> None:
    functions = {node.name: node for node in typed if isinstance(node, _Definition) and not _is_overload(node)}
    classes = {node.name: node for node in typed if isinstance(node, ast.ClassDef)}
    variables = {
        node.target.id: ast.unparse(node.annotation)
        for node in typed
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    }
    _assignments(_plain(body), variables, edits, "", set())
    for node in body:
        if isinstance(node, _Definition) and node.name in functions:
            _function(node, functions[node.name], edits)
        if isinstance(node, _Definition):
            for inner in ast.walk(node):
                if isinstance(inner, ast.ClassDef):
                    _class(inner, _NOTHING, edits)
        elif isinstance(node, ast.ClassDef):
            _class(node, classes.get(node.name, _NOTHING), edits)


def _class(node: ast.ClassDef, typed: ast.ClassDef, edits: _Edits) -> None:
    _body(node.body, typed.body, edits)
    attributes = {
        each.target.id: ast.unparse(each.annotation)
        for each in typed.body
        if isinstance(each, ast.AnnAssign) and isinstance(each.target, ast.Name)
    }
    done = {target.id for each in _plain(node.body) for target in each.targets if isinstance(target, ast.Name)}
    # The constructor says what an attribute may be; other methods only what it becomes.
    methods = [each for each in node.body if isinstance(each, _Definition)]
    for method in sorted(methods, key=lambda each: each.name != "__init__"):
        _assignments(
            (each for each in ast.walk(method) if isinstance(each, ast.Assign)), attributes, edits, "self", done
        )


def _plain(body: list[ast.stmt]) -> list[ast.Assign]:
    return [node for node in body if isinstance(node, ast.Assign)]


def _assignments(
    nodes: Iterator[ast.Assign] | list[ast.Assign], wanted: dict[str, str], edits: _Edits, of: str, done: set[str]
) -> None:
    for node in sorted(nodes, key=lambda each: each.lineno):
        names = [name for target in node.targets for name in _names(target, of)]
        is_none = isinstance(node.value, ast.Constant) and node.value.value is None
        for name in dict.fromkeys(names):
            told = wanted.get(name) or ("_Any" if is_none else "")
            if told and name not in done:
                # Before the assignment, because one with several targets takes no annotation.
                edits.before(node, f"{of + '.' if of else ''}{name}: {told!r}; ")
        done.update(names)


def _names(target: ast.expr, of: str) -> Iterator[str]:
    """Names that an assignment to `target` gives: variables, or attributes `of` something."""
    if isinstance(target, ast.Tuple):
        for each in target.elts:
            yield from _names(each, of)
    elif isinstance(target, ast.Name) and not of:
        yield target.id
    elif isinstance(target, ast.Attribute) and ast.unparse(target.value) == of:
        yield target.attr


def _function(node: _Definition, typed: _Definition, edits: _Edits) -> None:
    told = {each.arg: ast.unparse(each.annotation) for each in _parameters(typed) if each.annotation is not None}
    for each in _parameters(node):
        if each.arg in told:
            edits.after(each, f": {told[each.arg]!r}")
    if typed.returns is not None:
        edits.after_parameters(node, f" -> {ast.unparse(typed.returns)!r}")


def _parameters(node: _Definition) -> list[ast.arg]:
    found = node.args
    several = (found.vararg, found.kwarg)
    return [*found.posonlyargs, *found.args, *found.kwonlyargs, *(each for each in several if each is not None)]


def _is_overload(node: _Definition) -> bool:
    return any(ast.unparse(each).endswith("overload") for each in node.decorator_list)
