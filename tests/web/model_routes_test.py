"""Embeddings, prompts and everything through HTTP, on a small model."""

import json
import types

import numpy as np
import pytest
import safetensors.numpy
from web.conftest import code_of, embed, wait

import samjax
from samjax.data.schema import record_from_json
from samjax.geometry.masks import decode_rle, encode_rle
from samjax.inference import AutomaticConfig
from samjax.inference.automatic.config import SMALL_MODEL_THRESHOLDS
from samjax.web import prediction
from samjax.web.worker import ModelWorker

POINT = {"points": [[10, 12]], "labels": [1]}
OPEN = {"points_per_side": 4, "pred_iou_thresh": 0, "stability_score_thresh": 0}


def test_an_embedding_is_made_once_and_is_the_models(
    client, ids, photos, predictor, embedded
):
    path = f"/api/v1/images/{embedded}/embedding"
    again = client.post(path)
    assert (again.status_code, again.json()["state"]) == (200, "ready")
    expected = predictor.embed(photos / "sub" / "photo.png")
    for dtype in ("float32", "float16"):
        response = client.get(path, params={"dtype": dtype})
        assert response.headers["content-type"] == "application/octet-stream"
        features = safetensors.numpy.load(response.content)["features"]
        assert features.dtype == dtype
        wanted = np.asarray(expected.features).transpose(2, 0, 1)[None]
        np.testing.assert_array_equal(features, wanted.astype(dtype))
        length = int.from_bytes(response.content[:8], "little")
        header = json.loads(response.content[8 : 8 + length])["__metadata__"]
        said = json.loads(header["samjax"])
        assert said["original_size"] == [24, 32]
        assert said["resized_size"] == list(expected.frame.resized_size)
        assert said["model_size"] == 64
        assert said["fingerprint"] == predictor.fingerprint
    assert client.get(path, params={"dtype": "int8"}).status_code == 422


def test_before_it_is_embedded_an_image_cannot_be_asked(client, ids):
    image = f"/api/v1/images/{ids['img2.png']}"
    assert client.get(f"{image}/embedding/state").json()["state"] == "absent"
    for response in (
        client.get(f"{image}/embedding"),
        client.post(f"{image}/predict", json=POINT),
    ):
        assert response.status_code == 409 and code_of(response) == "not_ready"
    response = client.post(f"{image}/embedding", json={"prefetch": True})
    assert response.status_code in (200, 202)


def test_answers_are_the_predictors_best_first(client, photos, predictor, embedded):
    response = client.post(f"/api/v1/images/{embedded}/predict", json=POINT)
    assert response.status_code == 200, response.text
    answer = response.json()["masks"]
    expected = predictor.predict(
        predictor.embed(photos / "sub" / "photo.png"),
        samjax.Prompt(points=[[10, 12]], labels=[1]),
    )
    order = np.argsort(-expected.scores)
    assert len(answer) == 3
    for one, index in zip(answer, order, strict=True):
        mask = decode_rle(one["segmentation"])
        np.testing.assert_array_equal(mask, expected.masks[index])
        assert one["area"] == mask.sum()
        assert one["score"] == pytest.approx(float(expected.scores[index]), abs=1e-5)


def test_several_prompts_are_answered_as_one_by_one(client, embedded):
    mask = encode_rle(np.eye(24, 32, dtype=bool))
    prompts = [
        POINT,
        {"box": [1, 2, 20, 22]},
        {"points": [[3, 4], [9, 9]], "labels": [1, 0], "box": [0, 0, 9, 9]},
        {"mask": mask},
        {},
    ]
    path = f"/api/v1/images/{embedded}/predict"
    together = client.post(path, json={"prompts": prompts}).json()["results"]
    for prompt, answer in zip(prompts, together, strict=True):
        alone = client.post(path, json=prompt).json()
        kept = [one["segmentation"] for one in answer["masks"]]
        assert kept == [one["segmentation"] for one in alone["masks"]]
    single = client.post(path, json=POINT | {"multimask": False}).json()
    assert len(single["masks"]) == 1


def test_of_many_masks_the_pixels_of_one_are_in_memory_at_a_time(
    client, embedded, monkeypatch
):
    drawn, together, turns = [], [], []
    original, predict = prediction.counts_to_mask, samjax.Predictor.predict_batch
    turn = client.app.state.services.predicting

    def draw(counts, size):
        drawn.append(size)
        return original(counts, size)

    def counted(predictor, embeddings, prompts, **how):
        together.append(len(prompts[0]))
        # Somebody else may come between any two.
        turns.append(turn._is_held)
        return predict(predictor, embeddings, prompts, **how)

    monkeypatch.setattr(prediction, "counts_to_mask", draw)
    monkeypatch.setattr(samjax.Predictor, "predict_batch", counted)
    mask = {"mask": encode_rle(np.eye(24, 32, dtype=bool))}
    path = f"/api/v1/images/{embedded}/predict"
    given = [mask, mask, POINT, POINT, mask, *[POINT] * 10]
    answer = client.post(path, json={"prompts": given})
    assert answer.status_code == 200 and len(answer.json()["results"]) == 15
    assert together == [1, 1, 2, 1, 8, 2]
    assert len(drawn) == 3 and all(turns) and not turn._is_held
    # One that cannot be used is found before the work on the others.
    drawn.clear()
    together.clear()
    wrong = {"mask": {"size": [24, 32], "counts": "~~~~"}}
    answer = client.post(path, json={"prompts": [mask, POINT, wrong]})
    assert answer.status_code == 422 and not drawn and not together


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_downloaded_embedding_predicts_as_the_servers_own(
    client, embedded, photos, predictor, tmp_path, dtype
):
    path = tmp_path / "downloaded.safetensors"
    address = f"/api/v1/images/{embedded}/embedding"
    path.write_bytes(client.get(address, params={"dtype": dtype}).content)
    loaded = samjax.ImageEmbedding.load(path)
    expected = predictor.embed(photos / "sub" / "photo.png")
    features = np.asarray(expected.features).astype(dtype).astype(np.float32)
    np.testing.assert_array_equal(loaded.features, features)
    assert (loaded.frame, loaded.fingerprint) == (expected.frame, expected.fingerprint)
    # Refused if the fingerprint were another's.
    masks = predictor.predict(loaded, samjax.Prompt(points=[[10, 12]], labels=[1]))
    assert masks.masks.shape[1:] == (24, 32)


@pytest.mark.parametrize(
    ("prompt", "said"),
    [
        ({"prompts": [POINT] * 1000}, "at most 64"),
        ({"prompts": []}, "at least 1"),
        ({"prompts": [POINT], "box": [0, 0, 1, 1]}, "either"),
        ({"points": [[1, 1]] * 1000}, "at most 256"),
        ({"points": [[1, 1]], "labels": [1, 1]}, "one label"),
        ({"points": [[1, 1]], "labels": [2]}, "0 or 1"),
        ({"points": [[1, 1, 1]]}, "at most 2"),
        ({"points": [[1e300, 1]]}, "1000000"),
        ({"box": [5, 5, 1, 1]}, "smaller than its left"),
        ({"box": [5, 5]}, "box.2"),
        ({"mask": encode_rle(np.ones((9, 9), bool))}, "the image's [24, 32]"),
        ({"mask": {"size": [24, 32], "counts": "~~~~"}}, "damaged"),
        ({"mask": {"size": [24, 32], "counts": "ooooooooooooooo0"}}, "35 bits"),
        ({"mask": {"size": [24, 32], "counts": "0" * 9_000_000}}, "8000000"),
        ({"mask": {"size": [1 << 40, 32], "counts": "0"}}, "2147483648"),
        ({"text": "a dog"}, "no text tower"),
        ({"points": [[1, 1]], "lables": [1]}, "lables"),
        ({"multimask": "maybe"}, "multimask"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_refused_with_what_is_wrong(
    client, embedded, prompt, said
):
    response = client.post(f"/api/v1/images/{embedded}/predict", json=prompt)
    assert response.status_code == 422
    assert code_of(response) == "invalid"
    message = response.json()["error"]["message"]
    assert said in message and len(message) < 2000


@pytest.mark.parametrize(
    "body",
    [
        b'{"points": [[NaN, 1]]}',
        b'{"points": [[1, Infinity]]}',
        b'{"points": [[1, 1e999]]}',
        b'{"box": [0, 0, -Infinity, 1]}',
        b'{"points": [[' + b"9" * 5000 + b", 1]]}",
        b"[" * 100_000,
        b'{"points": ' + b"[" * 100_000,
        b"not JSON",
        b"\xff\xfe",
        b"",
        b"[]",
        b"null",
        b'{"text": "\\ud800"}',
    ],
)
def test_a_body_that_is_no_json_or_no_numbers_is_refused(client, embedded, body):
    response = client.post(
        f"/api/v1/images/{embedded}/predict",
        content=body,
        headers={"content-type": "application/json"},
    )
    assert response.status_code in (400, 422), response.text
    assert code_of(response) in ("invalid", "bad_request")


def records_of(client, job):
    wait(lambda: client.get(f"/api/v1/jobs/{job}").json()["state"], "done")
    content = client.get(f"/api/v1/jobs/{job}").json()
    assert content["done"] == content["total"] == 16
    return content["records"]


def test_everything_is_found_as_without_a_server(client, photos, predictor, ids):
    image = ids["sub/photo.png"]
    response = client.post(f"/api/v1/images/{image}/everything", json=OPEN)
    assert response.status_code == 202
    records = records_of(client, response.json()["job"])
    expected = samjax.generate_masks(
        predictor, photos / "sub" / "photo.png", AutomaticConfig(**OPEN)
    )
    assert records == json.loads(json.dumps(expected)) and records
    info = {"image_id": 1, "width": 32, "height": 24, "file_name": "photo.png"}
    record_from_json(json.dumps({"image": info, "annotations": records}))


def test_thresholds_that_are_not_given_are_those_of_the_model(client, ids, monkeypatch):
    started = []

    def start(worker, image, config, person):
        started.append(config)
        return types.SimpleNamespace(id="one")

    monkeypatch.setattr(ModelWorker, "segment_everything", start)
    path = f"/api/v1/images/{ids['img2.png']}/everything"
    for given in ({}, {"pred_iou_thresh": 0.9}):
        assert client.post(path, json=given).status_code == 202
    assert started == [
        AutomaticConfig(**SMALL_MODEL_THRESHOLDS),
        AutomaticConfig(**{**SMALL_MODEL_THRESHOLDS, "pred_iou_thresh": 0.9}),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"points_per_side": 0},
        {"points_per_side": 10_000},
        {"pred_iou_thresh": 2},
        {"points": 3},
    ],
)
def test_options_of_everything_are_bounded(client, ids, options):
    path = f"/api/v1/images/{ids['img2.png']}/everything"
    response = client.post(path, json=options)
    assert response.status_code == 422 and code_of(response) == "invalid"


def test_a_job_is_cancelled_and_an_unknown_one_not_found(client, ids, embedded):
    path = f"/api/v1/images/{embedded}/everything"
    job = client.post(path, json=OPEN | {"points_per_side": 64}).json()["job"]
    assert client.delete(f"/api/v1/jobs/{job}").status_code == 204
    state = client.get(f"/api/v1/jobs/{job}").json()
    assert state["state"] == "cancelled" and state["records"] is None
    # The worker is free for others.
    embed(client, ids["img2.png"])
    for method in ("GET", "DELETE"):
        response = client.request(method, "/api/v1/jobs/nothing")
        assert response.status_code == 404 and code_of(response) == "not_found"


def test_without_opencv_small_regions_are_refused_at_once(client, ids, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "cv2", None)
    response = client.post(
        f"/api/v1/images/{ids['img2.png']}/everything",
        json={"min_mask_region_area": 9},
    )
    assert response.status_code == 422 and "samjax[eval]" in response.text
