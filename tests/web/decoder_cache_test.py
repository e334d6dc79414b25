"""The decoder that the page runs: made once for a model, and only used whole."""

import gzip
import hashlib

import jax
import pytest
from web.conftest import code_of

import samjax
from samjax.web import decoder_cache
from samjax.web.decoder_cache import PARTS, obtain_decoder

pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("decoders")


@pytest.fixture
def decoder(predictor, cache):
    return obtain_decoder(predictor, cache, storage="float32")


@pytest.fixture
def not_again(monkeypatch):
    """Fails if a decoder is exported."""

    def fail(*arguments, **options):
        raise AssertionError("exported again")

    monkeypatch.setattr(decoder_cache, "export_pair", fail)


def test_it_is_what_is_on_the_disk(decoder):
    for part in PARTS:
        file = decoder.part(part)
        content = file.path.read_bytes()
        assert len(content) == file.bytes
        assert hashlib.sha256(content).hexdigest() == file.sha256


def test_it_is_made_once_and_says_so_before(decoder, predictor, cache, not_again):
    def fail():
        raise AssertionError("said it would be exported")

    again = obtain_decoder(predictor, cache, storage="float32", before_export=fail)
    assert again == decoder


def test_other_weights_versions_and_storages_are_others(
    decoder, predictor, cache, not_again, monkeypatch
):
    def same(**changes):
        given = {"predictor": predictor, "storage": "float32"} | changes
        with pytest.raises(AssertionError, match="exported again"):
            obtain_decoder(given["predictor"], cache, storage=given["storage"])

    same(storage="float16")
    # The encoder's fingerprint stays, and the decoder is another.
    params = dict(predictor.params)
    params["mask_decoder"] = jax.tree.map(lambda leaf: leaf + 1, params["mask_decoder"])
    other = samjax.Predictor(predictor.model, params)
    assert other.fingerprint == predictor.fingerprint
    same(predictor=other)
    monkeypatch.setattr(decoder_cache, "__version__", "99")
    same()


@pytest.mark.parametrize("spoil", ["cut", "change", "remove", "report"])
def test_one_that_is_damaged_is_made_again(decoder, predictor, cache, not_again, spoil):
    path = decoder.prompt.path
    report = path.with_name("decoder.json")
    before = path.read_bytes(), report.read_bytes()
    if spoil == "cut":
        path.write_bytes(before[0][:-1])
    elif spoil == "change":
        path.write_bytes(before[0][:-1] + b"\0\1")
    elif spoil == "remove":
        path.unlink()
    else:
        report.write_text("{")
    try:
        with pytest.raises(AssertionError, match="exported again"):
            obtain_decoder(predictor, cache, storage="float32")
    finally:
        path.write_bytes(before[0])
        report.write_bytes(before[1])


def test_the_page_gets_it_compressed_and_keeps_it_for_good(make_client, decoder):
    client = make_client(decoder=decoder)
    told = client.get("/api/v1/info").json()["decoder"]
    assert told["storage"] == "float32"
    for part in PARTS:
        address = told[part]["url"]
        response = client.get(address)
        assert response.headers["content-encoding"] == "gzip"
        assert int(response.headers["content-length"]) < told[part]["bytes"]
        assert "immutable" in response.headers["cache-control"]
        assert hashlib.sha256(response.content).hexdigest() == told[part]["sha256"]
        plain = client.get(address, headers={"Accept-Encoding": "identity"})
        assert "content-encoding" not in plain.headers
        assert plain.content == response.content
        assert gzip.compress(plain.content) != plain.content
        # An address without the hash, or with an old one, is asked again.
        bare = client.get(address.partition("?")[0])
        assert bare.headers["cache-control"] == "no-cache"
        old = client.get(address.partition("?")[0], params={"sha256": "0" * 64})
        assert old.headers["cache-control"] == "no-cache"
    assert client.get("/api/v1/model/encoder.onnx").status_code == 422


def test_without_a_page_there_is_no_decoder(client):
    assert client.get("/api/v1/info").json()["decoder"] is None
    response = client.get("/api/v1/model/prompt.onnx")
    assert response.status_code == 404 and code_of(response) == "not_found"
