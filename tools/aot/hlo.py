"""Analysis of a compiled program's HLO text: memory traffic and collectives.

The compiler's own totals count the body of a loop once and a kernel as zero. Here every
instruction counts as often as its loops run, and a kernel as its inputs and outputs.
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
# Operations without memory traffic of their own.
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
# Layouts name the memory space of an array; this is the chip's fast memory (VMEM).
_FAST = "S(1)"


@dataclass(frozen=True)
class Instruction:
    """One instruction.

    Attributes:
        name: Name of the result.
        type: Type of the result.
        operation: Name of the operation.
        arguments: The text in the parentheses.
        operands: The names of operands in it.
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
    """A function of the program, and how often it runs."""

    instructions: list[Instruction] = field(default_factory=list)
    runs: float = 0.0

    def named(self) -> dict[str, Instruction]:
        return {instruction.name: instruction for instruction in self.instructions}


def parse(text: str) -> dict[str, Computation]:
    """Parses a program, and counts how often each computation runs."""
    program: dict[str, Computation] = {}
    entry, current = "", None
    for line in text.splitlines():
        if line.startswith(("%", "ENTRY ")) and line.rstrip().endswith("{"):
            name = line.removeprefix("ENTRY ").split()[0].lstrip("%")
            current = program.setdefault(name, Computation())
            if line.startswith("ENTRY "):
                entry = name
        elif line.rstrip() == "}":
            # The settings of a kernel have such a line too, followed by more text.
            current = None
        elif current is not None and (instruction := _instruction(line)):
            current.instructions.append(instruction)
    _count_runs(program, entry, 1.0)
    return program


def array_bytes(type_text: str) -> float:
    """Returns the bytes of the arrays of a type that are in main memory."""
    return sum(
        BYTES.get(dtype, 0) * math.prod(sides)
        for dtype, sides, layout in arrays(type_text)
        if _FAST not in layout
    )


def arrays(text: str) -> Iterator[tuple[str, tuple[int, ...], str]]:
    """Yields all array types in a text, as (dtype, shape, layout)."""
    for dtype, sides, layout in _ARRAY.findall(text):
        if dtype in BYTES:
            yield dtype, tuple(int(side) for side in sides.split(",") if side), layout


def collectives(program: dict[str, Computation]) -> dict[str, dict[str, float]]:
    """Returns for each kind of collective its count per step, and its bytes.

    The bytes are those of the larger of input and output, on one chip. An asynchronous
    collective of several instructions counts once.
    """
    seen: set[str] = set()
    totals: dict[str, dict[str, float]] = defaultdict(
        lambda: {"count": 0.0, "bytes": 0.0}
    )
    for computation in program.values():
        names = computation.named()
        for instruction in computation.instructions:
            kind = instruction.operation.removesuffix("-start")
            if kind not in COLLECTIVES or not computation.runs:
                continue
            channel = re.search(r"channel_id=(\d+)", instruction.rest)
            if channel:
                if channel[1] in seen:
                    continue
                seen.add(channel[1])
            input_bytes = sum(
                _whole_bytes(names[name].type) for name in instruction.operands
            )
            output_bytes = _whole_bytes(instruction.type)
            if instruction.operation.endswith("-start"):
                # The result of a start is a tuple of input and output.
                output_bytes -= input_bytes
            totals[kind]["count"] += computation.runs
            totals[kind]["bytes"] += computation.runs * max(input_bytes, output_bytes)
    return {kind: dict(total) for kind, total in sorted(totals.items())}


def memory_traffic(program: dict[str, Computation]) -> float:
    """Returns the bytes from and to main memory of all instructions, as often as they run.

    Of an operand that a fusion slices only the slice counts, of a result that it
    updates in place only the update.
    """
    inner = {
        name
        for computation in program.values()
        for instruction in computation.instructions
        if instruction.operation == "fusion"
        for name in _called(instruction)
    }
    total = 0.0
    for name, computation in program.items():
        if computation.runs and name not in inner:
            names = computation.named()
            total += computation.runs * sum(
                _traffic(instruction, names, program)
                for instruction in computation.instructions
            )
    return total


def square_floats(text: str, tokens: int, times: int = 1) -> list[str]:
    """Returns the float arrays with a logit for every pair of tokens, in any axis order.

    Args:
        text: The text of a program.
        tokens: Number of tokens.
        times: Smallest number of squares (tokens x tokens) in such an array. If an MLP
            is as wide as the number of tokens, its hidden units are a square for every
            image, and logits one for every head.
    """
    side = math.isqrt(tokens)
    # Adjacent axes of rows and columns are an axis of tokens.
    as_grid = re.compile(rf"\b{side},{side}\b")
    types = set()
    for dtype, sides, _ in arrays(text):
        if dtype in ("f32", "bf16", "f16"):
            shape = ",".join(map(str, sides))
            squares = math.prod(sides) / tokens**2
            as_tokens = as_grid.sub(str(tokens), shape)
            if squares >= times and len(re.findall(rf"\b{tokens}\b", as_tokens)) >= 2:
                types.add(f"{dtype}[{shape}]")
    return sorted(types)


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


def _called(instruction: Instruction) -> list[str]:
    names = re.findall(
        r"(?:calls|body|to_apply|true_computation|false_computation)=%?([\w.\-]+)",
        instruction.rest,
    )
    branches = re.search(r"branch_computations=\{([^}]*)\}", instruction.rest)
    if branches:
        names += [name.strip().lstrip("%") for name in branches[1].split(",")]
    return names


def _count_runs(program: dict[str, Computation], name: str, runs: float) -> None:
    if name not in program:
        return
    program[name].runs += runs
    for instruction in program[name].instructions:
        times = runs
        if instruction.operation == "while":
            times *= _trip_count(program, instruction)
        for called in _called(instruction):
            _count_runs(program, called, times)


def _trip_count(program: dict[str, Computation], loop: Instruction) -> int:
    """Returns the trip count of a loop: the only constant in its condition.

    A loop with a computed end counts once.
    """
    condition = re.search(r"condition=%?([\w.\-]+)", loop.rest)
    computation = program.get(condition[1]) if condition else None
    limits = [
        int(instruction.arguments)
        for instruction in (computation.instructions if computation else [])
        if instruction.operation == "constant" and instruction.arguments.isdigit()
    ]
    return limits[0] if len(limits) == 1 else 1


def _whole_bytes(type_text: str) -> float:
    return sum(BYTES[d] * math.prod(sides) for d, sides, _ in arrays(type_text))


def _traffic(
    instruction: Instruction,
    names: dict[str, Instruction],
    program: dict[str, Computation],
) -> float:
    if instruction.operation in FREE or instruction.operation.endswith("-done"):
        return 0.0
    if instruction.operation in ("dynamic-slice", "slice", "gather"):
        return 2 * array_bytes(instruction.type)
    if instruction.operation == "dynamic-update-slice":
        return 2 * array_bytes(names[instruction.operands[1]].type)
    if instruction.operation.endswith("-start"):
        # The result is a tuple with the input; the slice is the smaller instruction.
        parts = [
            array_bytes(f"{d}[{','.join(map(str, s))}]{lay}")
            for d, s, lay in arrays(instruction.type)
        ]
        return 2 * min(filter(None, parts), default=0.0)
    if instruction.operation == "fusion" and (called := _called(instruction)):
        return _fusion_traffic(instruction, names, program[called[0]])
    return array_bytes(instruction.type) + sum(
        array_bytes(names[name].type) for name in instruction.operands if name in names
    )


def _fusion_traffic(
    instruction: Instruction, names: dict[str, Instruction], inside: Computation
) -> float:
    users: dict[str, list[Instruction]] = defaultdict(list)
    within = inside.named()
    for inner in inside.instructions:
        for operand in inner.operands:
            users[operand].append(inner)
    total = array_bytes(instruction.type)
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
