"""Device errors are one line with a remedy."""

import jax
import pytest

from samjax import devices
from samjax.cli import info, main
from samjax.cli.everything import Everything
from samjax.devices import DeviceError, explain, find_devices

UNKNOWN = "Unable to initialize backend 'gpuu': Backend 'gpuu' is not in the list"


@pytest.fixture
def no_device(monkeypatch):
    """Makes JAX fail as it does, and says what was asked for."""

    def fail_with(error, asked):
        def fail():
            raise error

        monkeypatch.setattr(jax, "devices", fail)
        monkeypatch.setattr(devices, "_selected_platforms", lambda: asked)

    return fail_with


@pytest.mark.parametrize(
    ("error", "asked", "said"),
    [
        # JAX's own: a platform without a plug-in has no words at all.
        (AssertionError(), "cuda", r"'cuda'.*JAX has no plug-in for it"),
        (RuntimeError(UNKNOWN), "gpuu", r"'gpuu'.*not in the list.*cpu, cuda, rocm"),
        (RuntimeError("Failed to open\nlibtpu.so"), "tpu", r"'tpu'.*open libtpu\.so"),
        (RuntimeError("no driver"), "", "finds no device: no driver"),
    ],
)
def test_a_missing_device_is_named_with_the_platforms_there_are(
    no_device, error, asked, said
):
    no_device(error, asked)
    with pytest.raises(DeviceError, match=said) as caught:
        find_devices()
    assert "\n" not in str(caught.value)


def test_the_devices_are_jax_s():
    assert find_devices() == jax.devices()


FULL = "RESOURCE_EXHAUSTED: Out of memory allocating 787016180680 bytes.\n  at ..."


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (jax.errors.JaxRuntimeError(FULL), "out of memory for 733.0 GiB on the device"),
        (
            jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: x"),
            "out of memory on the dev",
        ),
        (
            jax.errors.JaxRuntimeError("INTERNAL: a\nb"),
            "the device failed: INTERNAL: a b",
        ),
        (MemoryError(), "out of memory: on the host"),
        (
            MemoryError("Unable to allocate 9 GiB"),
            "out of memory: Unable to allocate 9",
        ),
        (DeviceError("no GPU"), "no GPU"),
        (ValueError("RESOURCE_EXHAUSTED"), None),
        (AssertionError(), None),
    ],
    ids=str,
)
def test_errors_of_devices_become_one_line(error, said):
    told = explain(error)
    if said is None:
        assert told is None
    else:
        assert told is not None and told.startswith(said) and "\n" not in told


def test_what_takes_less_memory_is_named_by_options_that_there_are():
    told = explain(MemoryError())
    assert told is not None
    options = {name.replace("_", "-") for name in Everything.__dataclass_fields__}
    options.add("points-per-batch")
    for word in told.split():
        if word.startswith("--"):
            assert word.strip("-,.;") in options


@pytest.mark.parametrize(
    "error", [jax.errors.JaxRuntimeError(FULL), MemoryError(), DeviceError("no GPU")]
)
def test_the_command_ends_with_one_line(monkeypatch, capsys, error):
    def fail(arguments):
        raise error

    monkeypatch.setattr(info, "run", fail)
    assert main(["info"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("samjax: ") and err.count("\n") == 1
    monkeypatch.setenv("SAMJAX_TRACEBACK", "1")
    with pytest.raises(type(error)):
        main(["info"])


def test_info_answers_without_a_device(no_device, capsys):
    no_device(AssertionError(), "cuda")
    assert main(["info"]) == 0
    out = capsys.readouterr().out
    assert "device  none: JAX_PLATFORMS is 'cuda'" in out
    assert "vit_h" in out and "compiled programs" in out
