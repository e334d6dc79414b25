"""Pickles of plain data, read without the means to call anything.

A pickle is a program for a small stack machine. Python's own machine calls every function
that the program names; this one has no instruction that could. It interprets the opcodes,
which `pickletools.genops` only parses, and builds numbers, texts, lists, tuples and dicts.
`samjax.checkpoints.torch_pickle` adds what tensors need.
"""

import io
import pickletools
from collections.abc import Callable, Mapping
from typing import IO, Any, ClassVar, cast

MOST_OPERATIONS = 2**24
"""Instructions of a pickle of plain data: the largest list of RefCOCO has some 5 million."""


def read_plain_pickle(data: bytes) -> Any:
    """Reads a pickle of numbers, texts, lists, tuples and dicts.

    Args:
        data: The pickle, of a file whose size is bounded.

    Raises:
        PickleError: It is damaged, or asks for anything else; nothing is executed.
    """
    return run_pickle(PickleMachine(), io.BytesIO(data), MOST_OPERATIONS)


class PickleError(ValueError):
    """A pickle that is damaged, or asks for more than plain data."""


class PickleMachine:
    """The stack, the marks and the memo.

    Attributes:
        error: The exception for pickles that cannot be read.
        instructions: The method of each opcode that is no literal.
        purpose: The kind of content, for errors.
    """

    error: ClassVar[type[ValueError]] = PickleError
    instructions: ClassVar[Mapping[str, Callable[[Any, Any], None]]]
    purpose: ClassVar[str] = "plain data"

    def __init__(self):
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}
        self.stopped = False

    def result(self) -> Any:
        """Returns the object that a finished pickle has built."""
        if not self.stopped or len(self.stack) != 1:
            raise self.error("Not a readable pickle: it does not end as one.")
        return self.stack[0]

    def step(self, opcode: str, argument: Any) -> None:
        """Interprets one instruction."""
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode]())
        elif opcode in self.instructions:
            self.instructions[opcode](self, argument)
        else:
            raise self.error(
                f"The pickle uses the instruction {opcode}, which {self.purpose} never "
                "needs; nothing was executed."
            )

    def take(self, count: int) -> list[Any]:
        """Pops the last values."""
        if len(self.stack) < count:
            raise self.error("Not a readable pickle: its stack ran empty.")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def since_mark(self) -> list[Any]:
        """Pops the values behind the last mark."""
        return self.take(max(0, len(self.stack) - self.marks.pop()))

    def mark(self, _) -> None:
        """Sets a mark."""
        self.marks.append(len(self.stack))

    def stop(self, _) -> None:
        """Ends the pickle."""
        self.stopped = True

    def put(self, index: int) -> None:
        """Keeps the last value in the memo."""
        if not 0 <= index < 2**32:
            raise self.error("Not a readable pickle: a memo's index is too large.")
        self.memo[index] = self.stack[-1]

    def memoize(self, _) -> None:
        """Keeps the last value at the end of the memo."""
        self.memo[len(self.memo)] = self.stack[-1]

    def get(self, index: int) -> None:
        """Pushes a value of the memo."""
        self.stack.append(self.memo[index])

    def make_tuple(self, items: list[Any]) -> None:
        """Pushes a tuple."""
        self.stack.append(tuple(items))

    def extend(self, items: list[Any]) -> None:
        """Appends to the last value, a list."""
        self.expect(self.stack[-1], list).extend(items)

    def make_dict(self, items: list[Any]) -> None:
        """Pushes a dict, as pickles of protocol 0 make it."""
        self.stack.append({})
        self.update(items)

    def update(self, items: list[Any]) -> None:
        """Sets items of the last value, a dict."""
        target = self.expect(self.stack[-1], dict)
        for key, value in zip(items[::2], items[1::2], strict=True):
            target[self.key(key)] = value

    def key(self, key: Any) -> Any:
        """Returns a key of a dict that no file can make slow.

        Numbers are hashed modulo 2^61 - 1, so that a file can choose many of one hash;
        the larger ones become their text.
        """
        if isinstance(key, float) or (type(key) is int and abs(key) >= 2**61 - 1):
            return repr(key)
        return self.expect(key, str | int | None)

    def expect(self, value: Any, kind: Any) -> Any:
        """Returns a value, or refuses it if it is of another kind."""
        if not isinstance(value, kind):
            expected = getattr(kind, "__name__", str(kind))
            raise self.error(
                f"The pickle has {self.shown(value)} where a {expected} belongs."
            )
        return value

    def shown(self, value: Any) -> str:
        """Returns a value for a message."""
        return f"a {type(value).__name__}"


def run_pickle(machine: PickleMachine, file: io.BufferedIOBase, most: int) -> Any:
    """Runs a machine over one pickle.

    Args:
        machine: A new machine.
        file: Positioned at the pickle; afterwards just behind it.
        most: Instructions that it may have. One of a byte can make an empty dict of 64.

    Raises:
        ValueError: The machine's error: the pickle cannot be read.
    """
    try:
        operations = pickletools.genops(cast(IO[bytes], file))
        for i, (opcode, argument, _) in enumerate(operations):
            if i >= most:
                raise machine.error(f"The pickle has more than {most} instructions.")
            machine.step(opcode.name, argument)
        return machine.result()
    except machine.error:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise machine.error(f"Not a readable pickle: {error!s:.200}.") from error


LITERALS = {
    *("INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4"),
    *("FLOAT", "BINFLOAT", "STRING", "BINSTRING", "SHORT_BINSTRING"),
    *("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8"),
}
CONSTANTS: dict[str, Callable[[], Any]] = {
    "NONE": lambda: None,
    "NEWTRUE": lambda: True,
    "NEWFALSE": lambda: False,
    "EMPTY_DICT": dict,
    "EMPTY_LIST": list,
    "EMPTY_TUPLE": tuple,
}
PLAIN: dict[str, Callable[[Any, Any], None]] = {
    "PROTO": lambda machine, _: None,
    "FRAME": lambda machine, _: None,
    "STOP": PickleMachine.stop,
    "POP": lambda machine, _: machine.take(1).clear(),
    "MARK": PickleMachine.mark,
    "PUT": PickleMachine.put,
    "BINPUT": PickleMachine.put,
    "LONG_BINPUT": PickleMachine.put,
    "MEMOIZE": PickleMachine.memoize,
    "GET": PickleMachine.get,
    "BINGET": PickleMachine.get,
    "LONG_BINGET": PickleMachine.get,
    "TUPLE": lambda machine, _: machine.make_tuple(machine.since_mark()),
    "TUPLE1": lambda machine, _: machine.make_tuple(machine.take(1)),
    "TUPLE2": lambda machine, _: machine.make_tuple(machine.take(2)),
    "TUPLE3": lambda machine, _: machine.make_tuple(machine.take(3)),
    "LIST": lambda machine, _: machine.stack.append(machine.since_mark()),
    "DICT": lambda machine, _: machine.make_dict(machine.since_mark()),
    "APPEND": lambda machine, _: machine.extend(machine.take(1)),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update(machine.take(2)),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
}
PickleMachine.instructions = PLAIN
