"""An unpickler for tensors and containers only.

The machine is that of `samjax.files.pickles`, which builds plain containers and calls
nothing. Instead of tensors it returns `TensorRecord`s with the location of their data in
the archive. The names in `GLOBALS` are tokens that it compares, never imports.

Training loops save more beside the weights: the best score as a NumPy scalar, the
options as a Namespace, a device, a dtype. Names of such plain data (`DATA`) are tokens
too, and objects made from them become `Opaque` values, of which only the kind is kept;
that is an error where a tensor is needed, and nowhere else. The modules of a TorchScript
archive, whose names begin with `__torch__.`, become dicts of their attributes. Any other
name, and any other opcode, is refused with a `CheckpointError`.
"""

import dataclasses
import io
from typing import Any

from samjax.checkpoints.errors import CheckpointError
from samjax.checkpoints.mapped import MAX_AXES
from samjax.checkpoints.torch_names import DATA, MAPPINGS, SCRIPT_MODULE, STORAGES
from samjax.checkpoints.torch_records import (
    Opaque,
    ScriptModule,
    StorageRecord,
    TensorRecord,
)
from samjax.files.pickles import PLAIN, PickleMachine, run_pickle


def read_pickle(file: io.BufferedIOBase) -> Any:
    """Reads one pickle of tensors and containers from an open file.

    Args:
        file: Positioned at the pickle; afterwards just behind it. The caller bounds
            its length: a pickle takes memory in proportion to it.

    Returns:
        The pickled object, tensors as `TensorRecord`, dicts of any kind as dicts, other
        plain data as `Opaque`.

    Raises:
        CheckpointError: If the pickle is broken, or names anything but tensors and
            containers; the message has the name.
    """
    return run_pickle(_Machine(), file, MAX_OPERATIONS)


@dataclasses.dataclass(frozen=True)
class _Global:
    """A name in the pickle. Only a token, which is never looked up."""

    name: str


class _Machine(PickleMachine):
    """A machine that knows tensors too."""

    error = CheckpointError
    purpose = "the reading of weights"

    def __init__(self):
        super().__init__()
        self.attributes = 0

    def result(self) -> Any:
        result = super().result()
        if isinstance(result, Opaque | _Global):
            raise CheckpointError(
                f"The pickle is {shorten(result)}, and no dict of tensors."
            )
        return result

    def step(self, opcode: str, argument: Any) -> None:
        if opcode in BYTES:
            self.stack.append(Opaque("bytes"))
        else:
            super().step(opcode, argument)

    def extend(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], Opaque):
            super().extend(items)

    def update(self, items: list[Any]) -> None:
        if not isinstance(self.stack[-1], Opaque):
            super().update(items)

    def key(self, key: Any) -> Any:
        # Nested tuples could make hashing endless: `Opaque` is hashed by identity. Such
        # keys are of no use here, but no reason to refuse the weights beside them.
        if isinstance(key, Opaque | _Global):
            return key
        if isinstance(key, str | int | float | None):
            return super().key(key)
        return Opaque(f"a {type(key).__name__}")

    def shown(self, value: Any) -> str:
        return shorten(value)

    def name(self, module: Any, attribute: Any) -> None:
        name = f"{_expect(module, str)}.{_expect(attribute, str)}"
        known = name in GLOBALS or name in STORAGES or name in MAPPINGS
        known = known or DATA.fullmatch(name) or SCRIPT_MODULE.fullmatch(name)
        if not known:
            raise CheckpointError(
                f"The pickle asks for {shorten(name)}, and samjax reads tensors and "
                "containers only; nothing was executed. If you trust the file, save "
                "its state dict alone with PyTorch: "
                "torch.save(model.state_dict(), 'weights.pth')."
            )
        self.stack.append(_Global(name))

    def persistent(self, _) -> None:
        saved = _expect(self.stack.pop(), tuple)
        if len(saved) not in (5, 6) or saved[0] != "storage":
            raise CheckpointError("The pickle refers to something that is no storage.")
        _, kind, key, _, count, *view = saved
        name = _expect(kind, _Global).name
        dtype = STORAGES.get(name)
        if dtype is None and "Storage" in name:
            # Of complex or quantized numbers, which weights are not.
            self.stack.append(Opaque(name))
            return
        if dtype is None:
            raise CheckpointError(f"{name} is no storage.")
        view = view[0] if view else None
        if view is not None:
            view_key, first, size = _expect(view, tuple)
            view = _expect(view_key, str), _count(first), _count(size)
        self.stack.append(StorageRecord(_expect(key, str), dtype, _count(count), view))

    def reduce(self, _) -> None:
        function, arguments = self.take(2)
        name = _expect(function, _Global).name
        if name in GLOBALS:
            self.stack.append(GLOBALS[name](*_expect(arguments, tuple)))
        else:
            self.make(function)

    def make(self, token: Any) -> None:
        """Puts an `Opaque` value in place of an object, which is not made."""
        name = _expect(token, _Global).name
        if SCRIPT_MODULE.fullmatch(name):
            self.stack.append(ScriptModule())
            return
        if name not in MAPPINGS and (name in STORAGES or not DATA.fullmatch(name)):
            raise CheckpointError(f"The pickle calls {name}.")
        self.stack.append({} if name in MAPPINGS else Opaque(name))

    def build(self, _) -> None:
        """Attributes: those of a module, or others, such as an ordered dict's. Dropped."""
        state = self.stack.pop()
        target = _expect(self.stack[-1], dict | Opaque)
        if isinstance(target, ScriptModule) and isinstance(state, dict):
            # A file could give one large dict to any number of modules.
            self.attributes += len(state)
            if self.attributes > MAX_OPERATIONS:
                raise CheckpointError("The pickle's modules have too many attributes.")
            target.update(state)

    def empty_set(self, _) -> None:
        self.stack.append(Opaque("a set"))

    def add_items(self, _) -> None:
        self.since_mark()
        _expect(self.stack[-1], Opaque)

    def frozen_set(self, _) -> None:
        self.since_mark()
        self.stack.append(Opaque("a set"))


def _expect(value: Any, kind: Any) -> Any:
    if not isinstance(value, kind):
        expected = getattr(kind, "__name__", str(kind))
        raise CheckpointError(
            f"The pickle has {shorten(value)} where a {expected} belongs."
        )
    return value


def _count(value: Any) -> int:
    if type(value) is not int or not 0 <= value < 2**63:
        raise CheckpointError(f"The pickle has {shorten(value)} for a size.")
    return value


def _counts(value: Any) -> tuple[int, ...]:
    if len(_expect(value, tuple)) > MAX_AXES:
        raise CheckpointError(f"The pickle has a shape of {len(value)} axes.")
    return tuple(_count(item) for item in value)


def _rebuild_tensor(storage, offset, shape, strides, *rest) -> Any:
    if isinstance(storage, Opaque):
        return storage
    # rest: requires_grad, hooks, and flags that mark lazy conjugation or negation.
    if len(rest) > 2 and rest[2]:
        raise CheckpointError("A tensor is stored lazily negated or conjugated.")
    return TensorRecord(
        _expect(storage, StorageRecord),
        _count(offset),
        _counts(shape),
        _counts(strides),
    )


def _rebuild_parameter(tensor, *_) -> Any:
    return _expect(tensor, TensorRecord | Opaque)


def _ordered_dict(items=()) -> dict:
    # Python 2 saved the items as a list of pairs.
    made, key_of = {}, _Machine().key
    for pair in _expect(items, list | tuple):
        if len(_expect(pair, list | tuple)) != 2:
            raise CheckpointError("An ordered dict of the pickle is made of no pairs.")
        made[key_of(pair[0])] = pair[1]
    return made


def _size(sizes=()) -> tuple[int, ...]:
    return _counts(sizes)


def shorten(value: object) -> str:
    """A value for a message, however large a hostile file made it."""
    # Only scalars: containers that hold themselves twice print without end.
    if isinstance(value, str | float) or (type(value) is int and abs(value) < 2**80):
        text = str(value)
        return text if len(text) <= 200 else f"{text[:200]}..."
    if isinstance(value, Opaque):
        return f"{value.kind:.200}"
    if isinstance(value, _Global):
        return f"{value.name:.200}"
    return f"a {type(value).__name__}"


MAX_OPERATIONS = 2**20

GLOBALS = {
    "collections.OrderedDict": _ordered_dict,
    "torch._utils._rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils._rebuild_tensor": _rebuild_tensor,
    "torch._utils._rebuild_parameter": _rebuild_parameter,
    "torch._utils._rebuild_parameter_with_state": _rebuild_parameter,
    "torch.Size": _size,
}
BYTES = {"BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8"}
_Machine.instructions = {
    **PLAIN,
    "GLOBAL": lambda machine, name: machine.name(*name.split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name(*machine.take(2)),
    "BINPERSID": _Machine.persistent,
    "REDUCE": _Machine.reduce,
    "NEWOBJ": lambda machine, _: machine.make(machine.take(2)[0]),
    "NEWOBJ_EX": lambda machine, _: machine.make(machine.take(3)[0]),
    "BUILD": _Machine.build,
    "EMPTY_SET": _Machine.empty_set,
    "ADDITEMS": _Machine.add_items,
    "FROZENSET": _Machine.frozen_set,
}
