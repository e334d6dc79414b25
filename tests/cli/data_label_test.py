"""`samjax data label`: from photos to a file of labels that training reads."""

import json

import numpy as np
import pytest
from data.finetune.files import coco_folder, noise, save

from samjax import cli
from samjax.checkpoints import save as save_model
from samjax.data.formats import read_coco

OPEN = (
    "--points-per-side", "2", "--pred-iou-thresh", "0", "--stability-score-thresh", "0",
    "--agreement", "0.2", "--scales", "0.5",
)  # fmt: skip


@pytest.fixture(scope="module")
def weights(tiny_model, tmp_path_factory) -> str:
    model, params = tiny_model
    folder = tmp_path_factory.mktemp("weights")
    return str(save_model(folder / "small.safetensors", model.config, params))


@pytest.fixture
def run(capfd, weights):
    """Runs the command; returns its status, output and errors."""

    def run(*words):
        status = cli.main(["data", "label", *map(str, words), "--model", weights])
        printed = capfd.readouterr()
        return status, printed.out, printed.err

    return run


def test_photos_without_masks_get_labels(run, tmp_path):
    folder, out = tmp_path / "set", tmp_path / "deep" / "labels.json"
    coco_folder(folder)
    status, printed, err = run(folder, "--out", out, *OPEN)
    assert status == 0, err
    assert "1 image, " in printed and str(out) in printed
    (record,) = read_coco(out)
    assert record["image"]["file_name"] == "photo 2.png"
    assert record["annotations"]
    info = json.loads(out.read_text())["info"]
    assert info["options"]["scales"] == [0.5] and info["options"]["agreement"] == 0.2
    status, printed, _ = run(folder, "--out", out, *OPEN)
    assert status == 0 and "0 images" in printed and "1 done before" in printed
    assert [path.name for path in out.parent.iterdir()] == ["labels.json"]


def test_photos_that_cannot_be_read_are_named_and_the_others_labelled(run, tmp_path):
    save(tmp_path / "photos/a.png", noise(0))
    save(tmp_path / "photos/c.png", noise(1))
    (tmp_path / "photos/b.png").write_text("no photo")
    out = tmp_path / "labels.json"
    status, printed, err = run(tmp_path / "photos", "--out", out, *OPEN)
    assert status == 0 and "2 images" in printed and "1 skipped" in printed
    assert "samjax: skipped b.png: got the bytes of a file" in err
    assert len(list(read_coco(out))) == 2


def test_that_no_mask_is_kept_is_said(run, tmp_path):
    save(tmp_path / "photos/a.png", noise(0))
    out = tmp_path / "labels.json"
    # No mask covers a photo by less than all and by more than this.
    status, _, err = run(
        tmp_path / "photos", "--out", out, *OPEN, "--smallest", "0.999999"
    )
    assert status == 0 and "note: no mask is kept: lower --agreement" in err
    assert [one["annotations"] for one in read_coco(out)] == [[]]


@pytest.mark.parametrize(
    ("words", "status", "said"),
    [
        (["--out", "{folder}"], 2, "expected a file, this is a folder"),
        (["--out", "{folder}/annotations.json"], 1, "no file of `samjax data label`"),
        (["--out", "{folder}/l.json", "--agreement", "2"], 1, "agreement=2.0: use"),
        (["--out", "{folder}/l.json", "--no-mirror", "--scales"], 1, "no view is left"),
        (["--out", "{folder}/l.json", "--in-flight", "0"], 2, "use at least 1"),
        (
            ["--out", "{folder}/l.json", "--exclude-licences", "4"],
            1,
            "nothing to label",
        ),
        ([], 2, "not given: --out"),
    ],
)
def test_what_cannot_be_carried_out_is_one_line_and_changes_nothing(
    run, tmp_path, words, status, said
):
    folder = tmp_path / "set"
    path = coco_folder(folder)
    content = json.loads(path.read_text())
    content["images"][2]["license"] = 4
    path.write_text(json.dumps(content))
    before = path.read_bytes()
    found, _, err = run(folder, *(word.format(folder=folder) for word in words))
    assert found == status
    assert said in err and len(err.splitlines()) == 1
    assert path.read_bytes() == before
    assert sorted(p.name for p in folder.iterdir()) == ["annotations.json", "images"]


def test_labels_of_a_killed_run_are_not_made_again(run, tmp_path):
    """Only what a run has written is there; so what it made is told by a mark."""
    for number in range(3):
        save(tmp_path / f"photos/{number}.png", noise(number))
    out, partial = tmp_path / "labels.json", tmp_path / "labels.json.partial"
    assert run(tmp_path / "photos", "--out", out, *OPEN)[0] == 0
    content = json.loads(out.read_text())
    records = list(read_coco(out))
    out.unlink()
    marked = records[1] | {
        "annotations": [{**one, "agreement": 0.5} for one in records[1]["annotations"]]
    }
    lines = [json.dumps(content["info"]), json.dumps(marked), '{"image": {"ima']
    partial.write_text("\n".join(lines))
    status, printed, _ = run(tmp_path / "photos", "--out", out, *OPEN)
    assert status == 0 and "2 images" in printed and "1 done before" in printed
    found = list(read_coco(out))
    assert [one["image"] for one in found] == [one["image"] for one in records]
    assert {one.get("agreement") for one in found[1]["annotations"]} <= {0.5}
    for place in (0, 2):
        assert found[place]["annotations"] == [
            {**one, "id": new["id"]}
            for one, new in zip(
                records[place]["annotations"], found[place]["annotations"], strict=True
            )
        ]
    assert np.all([not path.name.endswith(".partial") for path in tmp_path.iterdir()])
