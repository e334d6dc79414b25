"""Reads a compiled program's text: what is moved where, loops counted as often as run.

The compiler's own totals count the body of a loop once and a kernel as nothing. Here
every instruction counts as often as its loops say, and a kernel as what goes in and out.
"""

import math
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field

BYTES = {
    "pred": 1,
    "s4": 0.5,
    "u4": 0.5,
    "s8": 1,
    "u8": 1,
    "s16": 2,
    "u16": 2,
    "bf16": 2,
    "f16": 2,
    "s32": 4,
    "u32": 4,
    "f32": 4,
    "s64": 8,
    "u64": 8,
    "f64": 8,
}
COLLECTIVES = (
    "all-gather",
    "all-reduce",
    "reduce-scatter",
    "all-to-all",
    "collective-permute",
)
# They move nothing themselves.
FREE = {
    "parameter",
    "constant",
    "tuple",
    "get-tuple-element",
    "bitcast",
    "while",
    "conditional",
    "call",
    "after-all",
    "partition-id",
    "replica-id",
    "opt-barrier",
    "iota",
    "broadcast",
}
_ARRAY = re.compile(r"\b([a-z]\w*)\[([\d,]*)\](\{[^{}]*\})?")
# Layouts name the memory that an array is in; this is the chip's fast one.
_FAST = "S(1)"


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        name: Its name.
        type: The type of its result.
        operation: What it does.
        arguments: What stands in its parentheses.
        operands: The names in them.
        rest: The rest of the line.
        is_root: Whether it is the result of its computation.
    """

    name: str
    type: str
    operation: str
    arguments: str
    operands: tuple[str, ...]
    rest: str
    is_root: bool


@dataclass
class Computation:
    """A function of the program."""

    instructions: list[Instruction] = field(default_factory=list)
    runs: float = 0.0

    def named(self) -> dict[str, Instruction]:
        return {one.name: one for one in self.instructions}


def parse(text: str) -> dict[str, Computation]:
    """Reads a program; computations that run know how often."""
    found: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        if line.startswith(("%", "ENTRY ")) and line.rstrip().endswith("{"):
            name = line.removeprefix("ENTRY ").split()[0].lstrip("%")
            current = found.setdefault(name, Computation())
            if line.startswith("ENTRY "):
                entry = name
        elif line.rstrip() == "}":
            # A kernel's settings end in such a line too, with more after it.
            current = None
        elif current is not None and (one := _instruction(line)):
            current.instructions.append(one)
    _count_runs(found, entry, 1.0)
    return found


def array_bytes(type_text: str) -> float:
    """Bytes of the arrays of a type that are in main memory."""
    return sum(
        BYTES.get(dtype, 0) * math.prod(sides)
        for dtype, sides, layout in arrays(type_text)
        if _FAST not in layout
    )


def arrays(text: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """All array types in a text, as (dtype, shape, layout)."""
    for dtype, sides, layout in _ARRAY.findall(text):
        if dtype in BYTES:
            yield dtype, tuple(int(side) for side in sides.split(",") if side), layout


def collectives(program: dict[str, Computation]) -> dict[str, dict[str, float]]:
    """Messages between chips: for each kind how many a step, and their bytes.

    The bytes are those of the larger of input and output, on one chip. A message whose
    transfer is spread over several instructions counts once.
    """
    seen: set[str] = set()
    totals: dict[str, dict[str, float]] = defaultdict(
        lambda: {"count": 0.0, "bytes": 0.0}
    )
    for computation in program.values():
        names = computation.named()
        for one in computation.instructions:
            kind = one.operation.removesuffix("-start")
            if kind not in COLLECTIVES or not computation.runs:
                continue
            channel = re.search(r"channel_id=(\d+)", one.rest)
            if channel:
                if channel[1] in seen:
                    continue
                seen.add(channel[1])
            given = sum(_whole_bytes(names[name].type) for name in one.operands)
            made = _whole_bytes(one.type)
            if one.operation.endswith("-start"):
                # Its result is the input and the output.
                made -= given
            totals[kind]["count"] += computation.runs
            totals[kind]["bytes"] += computation.runs * max(given, made)
    return {kind: dict(total) for kind, total in sorted(totals.items())}


def memory_traffic(program: dict[str, Computation]) -> float:
    """Bytes from and to main memory, of all instructions, as often as they run.

    A fusion reads of an operand that it slices only the slice, and writes of a result
    that it updates only the update.
    """
    inner = {
        name
        for computation in program.values()
        for one in computation.instructions
        if one.operation == "fusion"
        for name in _called(one)
    }
    total = 0.0
    for name, computation in program.items():
        if computation.runs and name not in inner:
            names = computation.named()
            total += computation.runs * sum(
                _traffic(one, names, program) for one in computation.instructions
            )
    return total


def square_floats(text: str, tokens: int, times: int = 1) -> list[str]:
    """Float arrays that have the logits of all pairs of tokens, in any order of axes.

    Args:
        text: A program's.
        tokens: How many there are.
        times: Such arrays of fewer squares are something else. Where an MLP is as wide
            as there are tokens, its hidden units are a square for every image, and
            logits one for every head.
    """
    side = math.isqrt(tokens)
    # Neighbouring axes of rows and columns are tokens too.
    as_grid = re.compile(rf"\b{side},{side}\b")
    found = set()
    for dtype, sides, _ in arrays(text):
        if dtype in ("f32", "bf16", "f16"):
            shape = ",".join(map(str, sides))
            squares = math.prod(sides) / tokens**2
            as_tokens = as_grid.sub(str(tokens), shape)
            if squares >= times and len(re.findall(rf"\b{tokens}\b", as_tokens)) >= 2:
                found.add(f"{dtype}[{shape}]")
    return sorted(found)


def _instruction(line: str) -> Instruction | None:
    head, equals, body = line.strip().partition(" = ")
    if not equals:
        return None
    end = _closing(body, 0) + 1 if body.startswith("(") else body.find(" ")
    kind, operation = body[:end], body[end:].strip()
    name_end = operation.find("(")
    if name_end < 0:
        return None
    close = _closing(operation, name_end)
    arguments = operation[name_end + 1 : close]
    return Instruction(
        name=head.removeprefix("ROOT ").lstrip("%"),
        type=kind,
        operation=operation[:name_end],
        arguments=arguments,
        operands=tuple(re.findall(r"%([\w.\-]+)", arguments)),
        rest=operation[close + 1 :],
        is_root=head.startswith("ROOT "),
    )


def _closing(text: str, opening: int) -> int:
    depth = 0
    for i in range(opening, len(text)):
        depth += (text[i] == "(") - (text[i] == ")")
        if depth == 0:
            return i
    return len(text) - 1


def _called(one: Instruction) -> list[str]:
    names = re.findall(
        r"(?:calls|body|to_apply|true_computation|false_computation)=%?([\w.\-]+)",
        one.rest,
    )
    branches = re.search(r"branch_computations=\{([^}]*)\}", one.rest)
    if branches:
        names += [name.strip().lstrip("%") for name in branches[1].split(",")]
    return names


def _count_runs(program: dict[str, Computation], name: str, runs: float) -> None:
    if name not in program:
        return
    program[name].runs += runs
    for one in program[name].instructions:
        times = runs
        if one.operation == "while":
            times *= _trips(program, one)
        for called in _called(one):
            _count_runs(program, called, times)


def _trips(program: dict[str, Computation], loop: Instruction) -> int:
    """How often a loop runs: the one constant that its condition compares with.

    A loop whose end is computed counts once.
    """
    condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
    computation = program.get(condition[1]) if condition else None
    limits = [
        int(one.arguments)
        for one in (computation.instructions if computation else [])
        if one.operation == "constant" and one.arguments.isdigit()
    ]
    return limits[0] if len(limits) == 1 else 1


def _whole_bytes(type_text: str) -> float:
    return sum(BYTES[d] * math.prod(sides) for d, sides, _ in arrays(type_text))


def _traffic(
    one: Instruction, names: dict[str, Instruction], program: dict[str, Computation]
) -> float:
    if one.operation in FREE or one.operation.endswith("-done"):
        return 0.0
    if one.operation in ("dynamic-slice", "slice", "gather"):
        return 2 * array_bytes(one.type)
    if one.operation == "dynamic-update-slice":
        return 2 * array_bytes(names[one.operands[1]].type)
    if one.operation.endswith("-start"):
        # The result names the input again; what is cut out is the smaller one.
        parts = [
            array_bytes(f"{d}[{','.join(map(str, s))}]{lay}")
            for d, s, lay in arrays(one.type)
        ]
        return 2 * min(filter(None, parts), default=0.0)
    if one.operation == "fusion" and (called := _called(one)):
        return _fusion_traffic(one, names, program[called[0]])
    return array_bytes(one.type) + sum(
        array_bytes(names[name].type) for name in one.operands if name in names
    )


def _fusion_traffic(
    one: Instruction, names: dict[str, Instruction], inside: Computation
) -> float:
    users: dict[str, list[Instruction]] = defaultdict(list)
    within = inside.named()
    for instruction in inside.instructions:
        for operand in instruction.operands:
            users[operand].append(instruction)
    total = array_bytes(one.type)
    root = next((i for i in inside.instructions if i.is_root), None)
    while root is not None and root.operation in ("bitcast", "copy", "convert"):
        root = within.get(root.operands[0])
    updated = None
    if root is not None and root.operation == "dynamic-update-slice":
        total = 2 * array_bytes(within[root.operands[1]].type)
        updated = root.operands[0]
    parameters = [i for i in inside.instructions if i.operation == "parameter"]
    for parameter in parameters:
        whole = array_bytes(parameter.type)
        if parameter.name == updated:
            continue
        using = users[parameter.name]
        sliced = using and all(
            user.operation in ("dynamic-slice", "slice", "gather")
            and user.operands[0] == parameter.name
            for user in using
        )
        total += sum(array_bytes(u.type) for u in using) if sliced else whole
    return total
