"""Accuracy of an exported encoder: deviation of embeddings and of the masks of clicks.

    python tools/benchmarks/exported_encoder.py photos/*.jpg --arithmetic int8

Needs the extra `export`. For the demo's photo and the given ones: the relative RMS
error of the embedding, its cosine similarity, and over a grid of 4 x 4 clicks the IoU
between the model's best-ranked mask and the same mask from the exported encoder's
embedding, and the change of its predicted IoU.
"""

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import peers


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("photos", nargs="*", type=Path)
    parser.add_argument("--model", default="small")
    parser.add_argument("--storage", default="float16")
    parser.add_argument("--arithmetic", default="int8", choices=("float32", "int8"))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()

    import onnxruntime

    import samjax
    from samjax.export.encoder_graph import write_encoder
    from samjax.inference.images import SAMPLE_PHOTO

    model, params = samjax.load(options.model)
    predictor = samjax.Predictor(model, params)
    graph = write_encoder(model, params, options.storage, options.arithmetic)
    content = graph.SerializeToString()
    session = onnxruntime.InferenceSession(content)
    figures = {}
    for path in (SAMPLE_PHOTO, *options.photos):
        figures[path.name] = figure = compare(predictor, session, path)
        print(path.name, {name: np.round(value, 4) for name, value in figure.items()})
    mean = {
        name: float(np.mean([figure[name] for figure in figures.values()]))
        for name in ("rms", "cosine", "iou", "score")
    }
    print(f"{len(content) / 1e6:.1f} MB; mean of {len(figures)} photos: {mean}")
    result = {"model": options.model, "arithmetic": options.arithmetic, "mean": mean}
    result |= {"photos": figures, "machine": peers.describe_machine()}
    peers.write(result, options.json)


def compare(predictor, session, path: Path) -> dict[str, float]:
    """Compares the embeddings of one photo, and the masks of 16 clicks."""
    import samjax

    photo = samjax.inference.read_image(path)
    embedding = predictor.embed(photo)
    expected = np.asarray(embedding.features)
    resized = embedding.frame.resize_image(photo).astype(np.float32)
    features = session.run(None, {"image": resized})[0][0].transpose(1, 2, 0)
    exported = dataclasses.replace(embedding, features=features)
    height, width = photo.shape[:2]
    prompts = [
        samjax.Prompt(points=[[width * x / 8, height * y / 8]], labels=[1])
        for y in (1, 3, 5, 7)
        for x in (1, 3, 5, 7)
    ]
    (of_model,) = predictor.predict_batch([embedding], [prompts])
    (of_export,) = predictor.predict_batch([exported], [prompts])
    ious, changes = [], []
    for masks, other in zip(of_model, of_export, strict=True):
        best = int(np.argmax(masks.scores))
        a, b = masks.masks[best], other.masks[best]
        ious.append((a & b).sum() / max((a | b).sum(), 1))
        changes.append(abs(masks.scores[best] - other.scores[best]))
    norms = np.linalg.norm(expected) * np.linalg.norm(features)
    return {
        "rms": float(np.linalg.norm(features - expected) / np.linalg.norm(expected)),
        "cosine": float(np.sum(expected * features) / norms),
        "iou": float(np.mean(ious)),
        "smallest_iou": float(np.min(ious)),
        "score": float(np.mean(changes)),
    }


if __name__ == "__main__":
    main()
