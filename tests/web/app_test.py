"""The application as a whole: its description, and the form of its errors."""

import pytest
from fastapi.routing import APIRoute
from web.conftest import code_of

from samjax.inference.automatic.config import SMALL_MODEL_THRESHOLDS

METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE")


def routes(app) -> set[tuple[str, str]]:
    """Every method and path of the API that is answered."""
    found = set()

    def look(router, prefix):
        for route in router.routes:
            if isinstance(route, APIRoute):
                path = prefix + route.path
                found.update((method, path) for method in route.methods or ())
            elif hasattr(route, "original_router"):
                look(route.original_router, prefix + route.include_context.prefix)

    look(app.router, "")
    return {one for one in found if one[1].startswith("/api/v1")}


def test_the_description_lists_every_route(client):
    described = {
        (method.upper(), path.replace(":path}", "}"))
        for path, methods in client.get("/api/v1/openapi.json").json()["paths"].items()
        for method in methods
    }
    found = {
        (method, path.replace(":path}", "}")) for method, path in routes(client.app)
    }
    assert len(found) == 41
    assert described == found


def test_every_route_says_what_it_does_and_what_its_errors_look_like(client):
    description = client.get("/api/v1/openapi.json").json()
    form = {"$ref": "#/components/schemas/ErrorBody"}
    for path, methods in description["paths"].items():
        for route in methods.values():
            assert route["description"], path
            for status, answer in route["responses"].items():
                if status[0] in "45":
                    assert answer["content"]["application/json"]["schema"] == form
    assert "HTTPValidationError" not in description["components"]["schemas"]


def test_the_page_about_the_api_names_every_route_and_loads_nothing(client):
    response = client.get("/api/v1/docs")
    assert response.headers["content-type"].startswith("text/html")
    for path in client.get("/api/v1/openapi.json").json()["paths"]:
        assert path in response.text
    assert "http:" not in response.text and "https:" not in response.text
    assert "<script" not in response.text and "src=" not in response.text
    for path in ("/docs", "/redoc", "/openapi.json"):
        assert client.get(path).status_code == 404


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("GET", "/api/v1/nothing", 404, "not_found"),
        ("GET", "/api/v1/health/", 404, "not_found"),
        ("GET", "/api/v1/images/x", 404, "not_found"),
        ("DELETE", "/api/v1/health", 405, "method_not_allowed"),
        ("TRACE", "/api/v1/health", 405, "method_not_allowed"),
        ("GET", "/api/v1/images?limit=x", 422, "invalid"),
        ("POST", "/api/v1/images/x/predict", 422, "invalid"),
        ("GET", "/api/v1/images/x/thumbnail?size=99999", 422, "invalid"),
        ("GET", "/?" + "&".join("a=b" for _ in range(99)), 400, "bad_request"),
    ],
)
def test_every_error_has_one_form(client, method, path, status, code):
    response = client.request(method, path)
    assert response.status_code == status, response.text
    assert code_of(response) == code


def test_errors_of_every_kind_are_short(client, ids):
    long = "x" * 100_000
    path = f"/api/v1/images/{ids['img2.png']}/predict"
    for response in (
        client.get(f"/api/v1/images/{long[:9000]}"),
        client.post(path, json={long: 1}),
        client.post(path, json={"text": long}),
        client.post(path, json={"points": [[long, long]] * 20}),
    ):
        assert response.status_code in (404, 422)
        assert code_of(response) and len(response.text) < 3000


def test_what_the_server_is_and_takes_is_told(make_client, predictor):
    client = make_client(labels=("dog", "cat"))
    told = client.get("/api/v1/info").json()
    assert told["api"] == 1 and told["folder"] == "photos"
    assert told["model"] == {
        "name": "small",
        "image_size": 64,
        "grid": [8, 8],
        "channels": 256,
        "masks": 4,
        "text": False,
        "fingerprint": predictor.fingerprint,
        "everything": {"points_per_side": 16, **SMALL_MODEL_THRESHOLDS},
    }
    assert told["limits"] == {
        "upload_bytes": 64 << 20,
        "pixels": 89_478_485,
        "prompts": 64,
        "points": 256,
    }
    assert told["labels"] == ["dog", "cat"]
