"""Names that pickles of training loops mention, of which none is ever looked up.

A name that is not here, nor among the few that make tensors, is refused: it may be that
of a function. Those here name dtypes, dicts and plain data.
"""

import re

STORAGES = {
    f"{module}.{kind}Storage": dtype
    for module in ("torch", "torch.cuda")
    for kind, dtype in {
        "Double": "F64",
        "Float": "F32",
        "Half": "F16",
        "BFloat16": "BF16",
        "Long": "I64",
        "Int": "I32",
        "Short": "I16",
        "Char": "I8",
        "Byte": "U8",
        "Bool": "BOOL",
    }.items()
}
# Dicts by other names: what is in them may hold weights.
MAPPINGS = {
    "addict.addict.Dict",
    "box.box.Box",
    "builtins.dict",
    "__builtin__.dict",
    "collections.Counter",
    "collections.defaultdict",
    "detectron2.config.config.CfgNode",
    "easydict.EasyDict",
    "fvcore.common.config.CfgNode",
    "lightning.fabric.utilities.data.AttributeDict",
    "lightning.pytorch.utilities.parsing.AttributeDict",
    "lightning_fabric.utilities.data.AttributeDict",
    "mmcv.utils.config.ConfigDict",
    "mmengine.config.config.ConfigDict",
    "munch.Munch",
    "pytorch_lightning.utilities.parsing.AttributeDict",
    "yacs.config.CfgNode",
}
_DATA = (
    # Scalars, arrays, dtypes and the states of generators of NumPy 1 and 2.
    r"numpy\._?core\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)",
    r"numpy\.(ndarray|dtype|bool_?|str_|bytes_|void|longdouble|dtypes\.\w+DType)",
    r"numpy\.(u?int|float|complex|datetime|timedelta)\d+",
    r"numpy\.random\._pickle\.__\w+_ctor",
    r"numpy\.random\.(_(mt19937|pcg64|philox|sfc64)|bit_generator)\.\w+",
    # Dtypes, devices and layouts of PyTorch, and tensors that are no weights.
    r"torch\.(bool|half|float|double|short|int|long|bfloat16|device|strided|Tensor)",
    r"torch\.(q?u?int|float|complex)\d\w*",
    r"torch\.(sparse_\w+|\w+_format|torch_version\.TorchVersion)",
    r"torch\.((cuda|storage)\.)?\w*Storage",
    r"torch\.(_utils\._rebuild_\w+|_tensor\._rebuild_from_type_v2)",
    r"torch\.(nn\.parameter\.(Parameter|Buffer)|serialization\._get_layout)",
    # Python's own.
    r"(builtins|__builtin__)\.(set|frozenset|list|tuple|int|long|float|bool|complex)",
    r"(builtins|__builtin__)\.(str|unicode|bytes|bytearray|slice|x?range|object)",
    r"(copyreg|copy_reg)\._reconstructor|_codecs\.encode",
    r"argparse\.Namespace|types\.SimpleNamespace|typing\.Any|uuid\.UUID",
    r"collections\.deque|decimal\.Decimal|fractions\.Fraction|zoneinfo\.ZoneInfo",
    r"datetime\.(date|time|datetime|timedelta|timezone)",
    r"pathlib\.(_local\.)?\w*Path",
    # Options and records of common training libraries.
    r"omegaconf\.(dictconfig|listconfig|base|nodes)\.\w+",
    r"ml_collections\.config_dict\.config_dict\.\w+",
    r"mmengine\.logging\.history_buffer\.HistoryBuffer",
)
DATA = re.compile("|".join(_DATA))
# Classes of modules in TorchScript archives.
SCRIPT_MODULE = re.compile(r"__torch__(\.\w+)+")
