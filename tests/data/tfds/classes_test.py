"""Only TFDS's own classes are imported from a TFDS folder."""

import json

import pytest

from samjax.data.images import find_images
from samjax.data.tfds.classes import check_classes
from samjax.data.tfds.verify import read_by_tfds

OWN = "tensorflow_datasets.core.features.features_dict.FeaturesDict"
FOREIGN = {
    "at the top": {"pythonClassName": "evil.Thing", "featuresDict": {"features": {}}},
    "within": {
        "pythonClassName": OWN,
        "featuresDict": {"features": {"image": {"pythonClassName": "evil.Thing"}}},
    },
    "in a sequence": {
        "pythonClassName": OWN,
        "sequence": {"feature": {"pythonClassName": "evil.Thing"}},
    },
    "the name of the proto": {"python_class_name": "evil.Thing"},
    "the older form": {"type": "evil.Thing", "content": {}},
    "the older form, within": {
        "type": OWN,
        "content": {"image": {"type": "evil.Thing", "content": "{}"}},
    },
    "like TFDS's": {"pythonClassName": "tensorflow_datasets.core.features_evil.Thing"},
    "TFDS's, elsewhere": {"pythonClassName": "tensorflow_datasets.scripts.cli.main.x"},
    "relative": {"pythonClassName": "tensorflow_datasets.core.features...evil"},
    "no text": {"pythonClassName": ["evil.Thing"]},
    "a line more": {"pythonClassName": f"{OWN}\nevil"},
}


def folder_of(tmp_path, features):
    info = {
        "name": "segment_anything",
        "version": "1.0.0",
        "fileFormat": "array_record",
        "splits": [{"name": "train", "shardLengths": ["1"]}],
    }
    (tmp_path / "dataset_info.json").write_text(json.dumps(info))
    (tmp_path / "features.json").write_text(json.dumps(features))
    witness = tmp_path / "witness"
    code = f"open({str(witness)!r}, 'w').close()\nclass Thing: pass\n"
    (tmp_path / "evil.py").write_text(code)
    return witness


@pytest.mark.parametrize("case", FOREIGN)
def test_a_foreign_class_is_refused_and_not_imported(tmp_path, case, monkeypatch):
    witness = folder_of(tmp_path, FOREIGN[case])
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ValueError, match=r"features\.json .*expected features of TFDS"):
        check_classes(tmp_path)
    pytest.importorskip("tensorflow_datasets")
    for read in (
        lambda: find_images([f"tfds:{tmp_path}:train"]),
        lambda: read_by_tfds(tmp_path),
    ):
        with pytest.raises(ValueError, match="expected features of TFDS"):
            read()
    assert not witness.exists()


@pytest.mark.parametrize(
    "features",
    [
        {
            "pythonClassName": OWN,
            "featuresDict": {"features": {"type": {"pythonClassName": OWN}}},
        },
        {"type": OWN, "content": {"a": {"type": OWN, "content": "{}"}}},
    ],
)
def test_classes_of_tfds_are_accepted(tmp_path, features):
    folder_of(tmp_path, features)
    check_classes(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[" * 100_000, "\xff"])
def test_a_damaged_file_is_a_value_error(tmp_path, text):
    (tmp_path / "features.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(ValueError, match=r"features\.json is damaged"):
        check_classes(tmp_path)
