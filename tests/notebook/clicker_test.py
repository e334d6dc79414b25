"""The widget without a notebook: messages of a front end go in, results come out."""

import builtins
import sys

import numpy as np
import pytest

pytest.importorskip("anywidget")

from clicker_messages import one, receive, session
from PIL import Image

import samjax
from samjax.data.schema import record_from_json, record_to_json
from samjax.geometry.masks import decode_rle
from samjax.inference import Prompt
from samjax.inference.embedding import weights_fingerprint
from samjax.notebook import Clicker

CLICK = one([(20, 15)])
TWO = one([(20, 15), (3, 4)], [1, 0])
BOX = one(box=[5, 6, 30, 25])


def shown_of(clicker):
    return clicker.get_state(["_candidates"])["_candidates"]


@pytest.mark.parametrize(("current", "count"), [(CLICK, 3), (TWO, 1), (BOX, 3)])
def test_a_prompt_gives_the_masks_of_predict(
    clicker, predictor, pixels, current, count
):
    receive(clicker, session(current=current))
    prompt = Prompt(current["points"], current["labels"], current["box"])
    expected = predictor.predict(predictor.embed(pixels), prompt)
    assert clicker._problem == ""
    assert len(clicker.masks) == count
    np.testing.assert_array_equal(clicker.masks.logits, expected.logits)
    np.testing.assert_array_equal(clicker.masks.masks, expected.masks)
    assert clicker.masks.masks.dtype == bool
    assert clicker.masks.masks.shape == (count, 30, 40)
    np.testing.assert_array_equal(clicker.prompt.points, prompt.points)
    np.testing.assert_array_equal(clicker.prompt.labels, prompt.labels)
    shown = shown_of(clicker)
    assert shown["of"] == current
    for candidate, mask in zip(shown["masks"], expected.masks, strict=True):
        np.testing.assert_array_equal(decode_rle(candidate["segmentation"]), mask)


def test_another_of_three_masks_is_chosen_without_another_prediction(
    clicker, predictor, monkeypatch
):
    receive(clicker, session(current=CLICK))
    before, shown = clicker.masks, shown_of(clicker)
    monkeypatch.setattr(type(predictor), "predict", lambda *_: pytest.fail("predicted"))
    for choice in range(3):
        receive(clicker, session(current=CLICK | {"choice": choice}))
        assert clicker._problem == ""
        assert clicker.masks is before and shown_of(clicker) is shown
        np.testing.assert_array_equal(clicker.mask, before.masks[choice])


def test_accepted_objects_are_annotations_and_the_next_begins(clicker):
    receive(clicker, session(current=CLICK | {"choice": 2}))
    mask = clicker.mask
    receive(clicker, session(CLICK | {"choice": 2}))
    assert clicker.masks is None and clicker.mask is None and shown_of(clicker) is None
    assert clicker.prompt.points.shape == (0, 2)
    receive(clicker, session(CLICK | {"choice": 2}, BOX))
    first, second = clicker.annotations
    np.testing.assert_array_equal(decode_rle(first["segmentation"]), mask)
    assert (first["id"], second["id"]) == (1, 2)
    assert first["point_coords"] == [[20, 15]] and second["point_coords"] == []
    assert [len(prompt.points) for prompt in clicker.prompts] == [1, 0]
    assert [one["segmentation"] for one in clicker._accepted] == [
        annotation["segmentation"] for annotation in clicker.annotations
    ]
    assert [one["of"] for one in clicker._accepted] == [CLICK | {"choice": 2}, BOX]
    # One is removed: ids count on from 1.
    receive(clicker, session(BOX))
    assert clicker.annotations == [second | {"id": 1}]


def test_a_record_can_be_written_and_read(predictor, pixels, tmp_path):
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    clicker = Clicker(predictor, tmp_path / "photo.png")
    receive(clicker, session(CLICK))
    record = record_from_json(record_to_json(clicker.record))
    assert record["image"]["file_name"] == "photo.png"
    assert (record["image"]["height"], record["image"]["width"]) == (30, 40)
    assert record["annotations"] == clicker.annotations


def test_python_sets_the_prompt_and_the_front_end_shows_it(clicker):
    clicker.prompt = Prompt(points=[[20, 15], [3, 4]], labels=[1, 0])
    assert clicker._session == session(current=TWO)
    assert len(clicker.masks) == 1
    clicker.accept()
    assert clicker._session == session(TWO) and len(clicker.annotations) == 1
    with pytest.raises(ValueError, match="no prompt to accept"):
        clicker.accept()
    clicker.clear()
    assert clicker._session == session() and clicker.annotations == []


def test_a_prompt_that_the_widget_does_not_hold_is_refused(clicker):
    with pytest.raises(ValueError, match="got a prompt with a mask"):
        clicker.prompt = Prompt(mask=np.zeros((30, 40), bool))
    assert clicker.masks is None and clicker.prompt.mask is None


def test_observers_are_called_when_all_is_consistent(clicker):
    seen = []

    def observe(change):
        seen.append((change.name, len(change.owner.annotations), change.owner.masks))

    clicker.observe(observe, ["annotations", "masks"])
    receive(clicker, session(current=CLICK))
    masks = clicker.masks
    assert seen == [("masks", 0, masks)]
    receive(clicker, session(CLICK))
    assert seen[1:] == [("masks", 1, None), ("annotations", 1, None)]


WRONG_STATES = [
    None,
    7,
    {"_session": None},
    {"_session": 7},
    {"_session": session(current=one([(1,)]))},
    {"_session": session(current=TWO | {"choice": 2})},
    {"_session": session(TWO | {"choice": 1})},
    {"_candidates": None},
    {"_esm": "alert()"},
    {"annotations": []},
    {"no_such": 1},
    {"layout": 1},
]


@pytest.mark.parametrize("state", WRONG_STATES, ids=range(len(WRONG_STATES)))
def test_a_wrong_state_is_shown_and_the_next_is_taken(clicker, state):
    receive(clicker, session(current=CLICK))
    before, esm = clicker.masks, clicker._esm
    message = {"content": {"data": {"method": "update", "state": state}}, "buffers": []}
    clicker._handle_msg(message)
    assert clicker._problem
    assert clicker.masks is before and clicker._esm == esm
    receive(clicker, session(current=TWO))
    assert clicker._problem == "" and len(clicker.masks) == 1


@pytest.mark.parametrize(
    "data",
    [
        {},
        {"method": "no_such"},
        {"method": "custom", "content": {"wants": "everything"}},
        {"method": "custom", "content": None},
        {"method": "update", "state": {"_session": 1}, "buffer_paths": [["a", "b"]]},
    ],
    ids=range(5),
)
def test_a_message_that_is_none_of_ours_does_no_harm(clicker, data):
    clicker._handle_msg({"content": {"data": data}, "buffers": []})
    receive(clicker, session(current=TWO))
    assert clicker._problem == "" and len(clicker.masks) == 1


def test_a_browser_s_decoder_gets_the_embedding_and_the_fingerprint(
    clicker, predictor, pixels, monkeypatch, tmp_path
):
    sent = []
    monkeypatch.setattr(
        clicker, "send", lambda *message, **more: sent.append((*message, more))
    )
    data = {"method": "custom", "content": {"wants": "embedding"}}
    clicker._handle_msg({"content": {"data": data}, "buffers": []})
    [(content, more)] = sent
    expected = weights_fingerprint(predictor.model.config, predictor.params)
    assert content == {"embedding": {"weights": expected}}
    [file] = more["buffers"]
    (tmp_path / "embedding").write_bytes(file)
    embedding = samjax.ImageEmbedding.load(tmp_path / "embedding")
    np.testing.assert_allclose(
        embedding.features, predictor.embed(pixels).features, rtol=1e-3, atol=1e-3
    )


def test_a_failure_of_the_model_is_shown_and_the_state_before_it_stays(
    clicker, predictor, monkeypatch, caplog
):
    receive(clicker, session(current=CLICK))

    def fail(*_):
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(type(predictor), "predict", fail)
        receive(clicker, session(current=TWO))
    assert clicker._problem == "out of memory" and "out of memory" in caplog.text
    assert len(clicker.masks) == 3
    # Back to the state before: the problem is gone.
    receive(clicker, session(current=CLICK))
    assert clicker._problem == ""


def test_an_embedding_from_before_is_used_if_it_is_of_the_image(predictor, pixels):
    embedding = predictor.embed(pixels)
    clicker = Clicker(predictor, pixels, embedding=embedding)
    receive(clicker, session(current=CLICK))
    assert len(clicker.masks) == 3
    with pytest.raises(ValueError, match="an embedding of an image of"):
        Clicker(predictor, pixels[:20], embedding=embedding)


def test_coordinates_are_of_the_upright_image(predictor, pixels, tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(pixels).save(tmp_path / "turned.jpg", exif=exif)
    clicker = Clicker(predictor, tmp_path / "turned.jpg")
    assert clicker.image_size == (40, 30) and clicker._size == [40, 30]
    receive(clicker, session(current=CLICK))
    assert clicker.mask.shape == (40, 30)


def test_predictions_that_are_remembered_hold_no_masks_of_the_image_s_size(clicker):
    for x in range(40):
        receive(clicker, session(current=one([(x, 15)])))
        assert clicker.mask is not None
    assert len(clicker._predicted) == 32
    assert not any("masks" in vars(masks) for masks in clicker._predicted.values())


def test_the_widget_has_a_view_for_notebooks(clicker):
    bundle = clicker._repr_mimebundle_()[0]
    assert "application/vnd.jupyter.widget-view+json" in bundle
    assert "export default { render }" in clicker._esm
    assert ":root" not in clicker._css


def test_without_anywidget_one_line_says_what_to_install(monkeypatch):
    import samjax.notebook

    real = builtins.__import__

    def missing(name, *args, **options):
        if name.partition(".")[0] == "anywidget":
            raise ModuleNotFoundError("No module named 'anywidget'", name="anywidget")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", missing)
    monkeypatch.delitem(sys.modules, "anywidget")
    with pytest.raises(ImportError, match=r"pip install 'samjax\[widget\]'") as error:
        samjax.notebook.Clicker  # noqa: B018
    assert "\n" not in str(error.value)
