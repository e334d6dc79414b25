"""ES modules are joined to one source that does what they do."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import samjax
from samjax.notebook.es_modules import join_modules

PACKAGE = Path(samjax.__file__).parent
NODE = shutil.which("node", path=str(Path(sys.executable).parent)) or shutil.which(
    "node"
)

MODULES = {
    "entry.js": """import { twice as double } from "./a/twice.js";
import {
  twice,
  Counter,
} from "./a/twice.js";
import { hidden } from "./b.js";
export const value = double(hidden()) + twice(new Counter().next());
export default { value };
""",
    "a/twice.js": """import { factor } from "../b.js";
const secret = 1;
export function twice(x) { return factor * x; }
export class Counter { next() { return secret; } }
""",
    "b.js": """const secret = 20;
export let factor = 2;
export const hidden = () => secret;
export async function* unused() {}
""",
}


def write(folder, modules):
    for name, source in modules.items():
        path = folder / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(source)
    return folder / "entry.js"


@pytest.mark.skipif(NODE is None, reason="there is no node")
def test_joined_modules_compute_what_they_did(tmp_path):
    entry = write(tmp_path, MODULES)
    joined = tmp_path / "joined.mjs"
    joined.write_text(join_modules(entry))
    assert "import" not in joined.read_text()
    script = tmp_path / "run.mjs"
    script.write_text(
        "import one, { value } from './joined.mjs'; console.log(value, one.value);"
    )
    done = subprocess.run(
        [str(NODE), str(script)], capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == ["42", "42"]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ('import all from "./b.js";', "cannot join the statement 'import all"),
        ('import * as b from "./b.js";', "cannot join"),
        ('import { a } from "somewhere";', "cannot join"),
        ('export { a } from "./b.js";', "cannot join"),
        ('import { factor } from "./c.js";', "import each other.*entry.js > c.js"),
    ],
)
def test_what_cannot_be_joined_is_refused(tmp_path, source, message):
    modules = MODULES | {
        "entry.js": source,
        "c.js": 'import { value } from "./entry.js";\nexport default 1;',
    }
    with pytest.raises(ValueError, match=message):
        join_modules(write(tmp_path, modules))


def test_only_the_first_module_may_have_a_default_export(tmp_path):
    modules = MODULES | {"b.js": MODULES["b.js"] + "export default 1;\n"}
    with pytest.raises(ValueError, match="b.js: cannot join the statement 'export def"):
        join_modules(write(tmp_path, modules))


@pytest.mark.parametrize(
    "name", ["notebook/static/clicker.js", "web/page/model/worker.js"]
)
def test_the_modules_of_the_package_can_be_joined(name):
    source = join_modules(PACKAGE / name)
    assert len(source) > len((PACKAGE / name).read_text())
