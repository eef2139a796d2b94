"""The code cells of a notebook: what each needs, makes and changes, without running it.

`read(book)` gives the cells in order. A name that a cell needs belongs to the last cell
before it that makes or changes it: that is what a run from top to bottom would give.
"""

import ast
import dis
import re
from dataclasses import dataclass, field
from types import CodeType

# Methods that leave something else behind each time they are called.
GROWING = {"append", "extend", "insert", "pop", "remove", "add", "step"}


@dataclass
class Cell:
    """A code cell of a notebook."""

    source: str
    section: str = ""  # the heading above it
    makes: set[str] = field(default_factory=set)
    leaves: set[str] = field(default_factory=set)  # what it makes or changes in place
    again: set[str] = field(default_factory=set)  # changed anew each time it is run
    needs: dict[str, int] = field(default_factory=dict)  # name: the cell it comes from
    streams: set[str] = field(default_factory=set)  # random generators it draws from

    @property
    def begins(self) -> str:
        """Its first line that is neither empty nor a comment, to be recognised by."""
        lines = (line.strip() for line in self.source.splitlines())
        return next((s for s in lines if s and not s.startswith(("#", "%"))), "")[:60]


@dataclass
class Code:
    """What a piece of code reads before it makes it, and what it makes."""

    reads: set[str] = field(default_factory=set)
    loads: set[str] = field(default_factory=set)  # what it reads at any time
    makes: set[str] = field(default_factory=set)
    bodies: dict[str, set[str]] = field(default_factory=dict)  # globals of functions
    sets: set[str] = field(default_factory=set)  # items or attributes of these names
    grows: set[str] = field(default_factory=set)
    streams: set[str] = field(default_factory=set)


def scan(source: str) -> Code:
    """What a cell reads and makes; nothing of a cell that is not Python."""
    try:
        tree = ast.parse(re.sub(r"(?m)^(\s*)[%!].*", r"\1pass", source))
        compiled = compile(tree, "cell", "exec")
    except (SyntaxError, ValueError):
        return Code()
    found = Code()
    for step in dis.get_instructions(compiled):
        if step.opname == "LOAD_NAME":
            found.loads.add(step.argval)
            found.reads |= {step.argval} - found.makes
        elif step.opname in ("STORE_NAME", "STORE_GLOBAL"):
            found.makes.add(step.argval)
        elif isinstance(step.argval, CodeType):
            inside = _globals(step.argval)
            if step.argval.co_name.startswith("<"):  # a comprehension runs at once
                found.loads |= inside
                found.reads |= inside - found.makes
            else:
                found.bodies[step.argval.co_name] = inside
    for node in ast.walk(tree):
        _changes(node, found)
    return found


def _globals(code: CodeType) -> set[str]:
    """Names that a function (and what is defined inside it) takes from outside."""
    names = set()
    for step in dis.get_instructions(code):
        if step.opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            names.add(step.argval)
        elif isinstance(step.argval, CodeType):
            names |= _globals(step.argval)
    return names


def _changes(node: ast.AST, found: Code) -> None:
    """Note what a piece of syntax changes in place, and which names are generators."""
    if isinstance(node, ast.Subscript | ast.Attribute):
        if not isinstance(node.ctx, ast.Load) and _base(node):
            found.sets.add(_base(node))
    elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
        if node.func.attr in GROWING and _base(node.func):
            found.grows.add(_base(node.func))
    elif isinstance(node, ast.Call) and ast.unparse(node.func) == "train":
        found.sets |= {_base(run) for run in node.args[:1]}  # the loop plays it on
    elif isinstance(node, ast.Assign) and "torch.Generator(" in ast.unparse(node.value):
        found.streams |= {t.id for t in node.targets if isinstance(t, ast.Name)}


def _base(node: ast.AST) -> str:
    while isinstance(node, ast.Subscript | ast.Attribute):
        node = node.value
    return node.id if isinstance(node, ast.Name) else ""


def read(book: dict) -> list[Cell]:
    """The code cells of a notebook (its JSON) in order, with what each needs."""
    found, section, bodies, streams = [], "", {}, set()
    last: dict[str, int] = {}  # the cell that made or changed a name last
    for part in book["cells"]:
        source = "".join(part["source"])
        if part["cell_type"] == "markdown":
            section = [section, *re.findall(r"(?m)^#+ (.+)", source)][-1]
        if part["cell_type"] != "code":
            continue
        code = scan(source)
        bodies |= code.bodies
        streams |= code.streams
        wanted = code.reads | (_through(code.loads, bodies) - code.makes)
        needs = {name: last[name] for name in wanted if name in last}
        drawn, grown = streams & needs.keys(), code.grows & needs.keys()
        leaves = code.makes | drawn | ((code.sets | code.grows) & needs.keys())
        again = grown | (code.reads & code.makes & needs.keys())
        last |= dict.fromkeys(leaves, len(found))
        found.append(Cell(source, section, code.makes, leaves, again, needs, drawn))
        if "course.profile(" in source:  # up to here it is all one: the setup
            for cell in found:
                cell.needs, cell.again = {}, set()
    return found


def _through(names: set[str], bodies: dict[str, set[str]]) -> set[str]:
    """What the functions among `names` read, and the functions that those read."""
    seen, waiting, inside = set(), set(names), set()
    while waiting:
        name = waiting.pop()
        seen.add(name)
        inside |= bodies.get(name, set())
        waiting |= bodies.get(name, set()) - seen
    return inside
