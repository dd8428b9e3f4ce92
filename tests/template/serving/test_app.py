"""The service as a project extends it: what FastAPI's tutorial says works, with the model at hand."""

import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any

import httpx
import pytest
from fastapi import APIRouter, Depends, FastAPI, Header, HTTPException, Request
from fastapi.middleware.cors import CORSMiddleware
from fastapi.openapi.utils import get_openapi
from fastapi.responses import JSONResponse
from fastapi.testclient import TestClient
from pydantic import BaseModel

from slipway.serving import Application, LoadedModel, Model, Settings, create_app, loaded_model

SOURCE = Path(__file__).parents[3] / "src"
HEAVY = ("pandas", "sklearn", "mlflow", "dvc", "great_expectations", "skops", "pyarrow", "matplotlib")


@pytest.fixture
def app(bundle: Path) -> Application:
    return create_app(Settings(bundle=bundle))


class Bed(BaseModel):
    flowers: list[dict[str, Any]]


def test_a_route_of_ones_own_uses_the_model(app: Application, row: dict[str, Any]) -> None:
    @app.post("/bed")
    async def bed(bed: Bed, model: Model) -> list[str]:
        return [answer["label"] for answer in await model.predict(bed.flowers)]

    with TestClient(app) as client:
        assert client.post("/bed", json={"flowers": [row, row]}).json() == ["lily", "lily"]
        assert len(client.post("/bed", json={"flowers": [row] * 100}).json()) == 100
        refused = client.post("/bed", json={"flowers": [row, row | {"height": 11.0}]})
        assert refused.status_code == 422
        assert [(error["row"], error["field"]) for error in refused.json()["errors"]] == [(1, "height")]
        assert 'slipway_requests_total{route="/bed",status="200"} 2.0' in client.get("/metrics").text


def test_a_synchronous_route_and_a_router_work_too(app: Application) -> None:
    router = APIRouter(prefix="/about")

    @router.get("/{what}")
    def about(what: str, model: Model) -> str:
        return f"{what} {model.name}"

    app.include_router(router)
    with TestClient(app) as client:
        assert client.get("/about/the").json() == "the flowers"


def test_a_dependency_checks_a_user(app: Application) -> None:
    async def user(token: Annotated[str, Header()]) -> str:
        if token != "ada's":
            raise HTTPException(403, "who are you?")
        return "ada"

    @app.get("/me")
    async def me(name: Annotated[str, Depends(user)]) -> str:
        return name

    with TestClient(app) as client:
        assert client.get("/me", headers={"token": "ada's"}).json() == "ada"
        refused = client.get("/me", headers={"token": "eve's"})
        assert (refused.status_code, refused.json()["detail"]) == (403, "who are you?")


def test_cors_as_middleware_and_as_a_setting(bundle: Path, row: dict[str, Any]) -> None:
    own = create_app(Settings(bundle=bundle))
    own.add_middleware(
        CORSMiddleware, allow_origins=["https://page.example"], allow_methods=["POST"], allow_headers=["content-type"]
    )
    for app in (own, create_app(Settings(bundle=bundle, cors_origins="https://page.example"))):
        with TestClient(app, headers={"origin": "https://page.example"}) as client:
            asked = {"access-control-request-method": "POST", "access-control-request-headers": "content-type"}
            assert client.options("/predict", headers=asked).status_code == 200
            for body in (row, {}):  # a page can read errors, too
                answer = client.post("/predict", json=body)
                assert answer.headers["access-control-allow-origin"] == "https://page.example"
            other = client.post("/predict", json=row, headers={"origin": "https://other.example"})
            assert "access-control-allow-origin" not in other.headers
    with TestClient(create_app(Settings(bundle=bundle)), headers={"origin": "https://page.example"}) as client:
        assert "access-control-allow-origin" not in client.post("/predict", json=row).headers


def test_a_lifespan_of_ones_own_finds_the_model_and_yields_state(bundle: Path) -> None:
    happened: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Application) -> AsyncIterator[dict[str, str]]:
        assert app.model
        happened.append(f"starts with {app.model.name}")
        yield {"greeting": "hello"}
        happened.append("ends")

    app = create_app(Settings(bundle=bundle), lifespan=lifespan)

    @app.get("/greeting")
    async def greeting(request: Request) -> str:
        return str(request.state.greeting)

    with TestClient(app) as client:
        assert client.get("/greeting").json() == "hello"
    assert happened == ["starts with flowers", "ends"]


def test_an_override_of_the_model_holds_on_every_route(app: Application, row: dict[str, Any]) -> None:
    class Fake:
        async def answer(self, body: bytes) -> tuple[bytes, int]:
            return b'"made up"', 1

    app.dependency_overrides[loaded_model] = Fake
    with TestClient(app) as client:
        assert client.post("/predict", json=row).json() == "made up"
        app.dependency_overrides.clear()
        assert client.post("/predict", json=row).json()["predictions"][0]["label"] == "lily"


@pytest.mark.parametrize(
    ("path", "status", "kind"),
    [
        ("/refuses", 418, "i'm-a-teapot"),
        ("/number/x", 422, "invalid"),
        ("/breaks", 500, "failed"),
        ("/nothing", 404, "not-found"),
    ],
)
def test_errors_of_ones_own_routes_are_problem_documents(path: str, status: int, kind: str, app: Application) -> None:
    @app.get("/refuses")
    async def refuses() -> None:
        raise HTTPException(418, "no coffee", headers={"x-own": "1"})

    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("a secret")

    with TestClient(app, raise_server_exceptions=False) as client:
        answer = client.get(path)
    problem = answer.json()
    assert (answer.status_code, problem["status"]) == (status, status)
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["type"] == f"urn:slipway:problem:{kind}"
    assert problem["instance"].endswith(answer.headers["x-request-id"])
    assert "secret" not in answer.text
    if status == 418:
        assert (problem["detail"], answer.headers["x-own"]) == ("no coffee", "1")
    if status == 422:
        assert [(error["field"], error["value"]) for error in problem["errors"]] == [("path.number", "x")]


def test_a_test_sees_an_exception_of_its_own_route(app: Application) -> None:
    @app.get("/breaks")
    async def breaks() -> None:
        raise RuntimeError("broken")

    with TestClient(app) as client, pytest.raises(RuntimeError, match="broken"):
        client.get("/breaks")


def test_an_exception_handler_of_ones_own_answers_errors_of_slipways_routes(app: Application) -> None:
    @app.exception_handler(422)
    async def handler(_: Request, error: HTTPException) -> JSONResponse:
        return JSONResponse({"mine": error.detail}, 422)

    with TestClient(app) as client:
        assert "mine" in client.post("/predict", json={}).json()


def test_openapi_describes_ones_own_routes_beside_slipways(app: Application) -> None:
    @app.get("/number/{number}")
    async def number(number: int) -> int:
        return number

    with TestClient(app) as client:
        document = client.get("/openapi.json").json()
    assert {"/number/{number}", "/predict"} <= document["paths"].keys()
    refused = document["paths"]["/number/{number}"]["get"]["responses"]["422"]
    assert refused["content"].keys() == {"application/problem+json"}


@pytest.mark.parametrize("way", ["included", "by hand"])
def test_openapi_describes_slipways_routes_in_a_document_of_ones_own(way: str, app: Application) -> None:
    outer = FastAPI()
    outer.include_router(app.router)
    with TestClient(outer):
        document = outer.openapi() if way == "included" else get_openapi(title="", version="1", routes=app.routes)
    operation = document["paths"]["/predict"]["post"]
    assert operation["requestBody"]["content"]["application/json"]["examples"]
    assert operation["responses"]["200"]["content"]["application/json"]["schema"]["$ref"].endswith("/Answer")


def test_a_body_of_ones_own_route_has_the_limit(bundle: Path) -> None:
    app = create_app(Settings(bundle=bundle, body_bytes=1000))

    @app.post("/bed")
    async def bed(bed: Bed) -> int:
        return len(bed.flowers)

    with TestClient(app) as client:
        assert client.post("/bed", json={"flowers": [{}]}).json() == 1
        refused = client.post("/bed", json={"flowers": [{}] * 1000})
        assert (refused.status_code, refused.json()["type"]) == (413, "urn:slipway:problem:too-large")


def test_without_its_lifespan_nothing_is_loaded_and_the_reason_says_so(app: Application, row: dict[str, Any]) -> None:
    client = TestClient(app)
    assert client.get("/healthz").status_code == 200
    refused = client.post("/predict", json=row)
    assert (refused.status_code, "lifespan" in refused.json()["detail"]) == (503, True)


def test_an_application_can_start_again(app: Application, row: dict[str, Any]) -> None:
    for _ in range(2):
        with TestClient(app) as client:
            assert client.post("/predict", json=row).status_code == 200
        assert client.get("/readyz").status_code == 503


def test_the_projects_application_loads_nothing_that_learns_and_needs_no_bundle(tmp_path: Path) -> None:
    check = f"""
import sys
from project.app import app
from fastapi import FastAPI
assert isinstance(app, FastAPI)
assert "/predict" in app.openapi()["paths"]
assert not set({HEAVY!r}) & set(sys.modules), set({HEAVY!r}) & set(sys.modules)
"""
    environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
    subprocess.run([sys.executable, "-c", check], check=True, cwd=tmp_path, env=environment)


def test_bare_uvicorn_runs_it(bundle: Path, row: dict[str, Any]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "uvicorn", "project.app:app", "--port", "0"],
        env={**os.environ, "PYTHONPATH": str(SOURCE), "SLIPWAY_BUNDLE": str(bundle)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout
    try:
        url = next(found[0] for line in process.stdout if (found := re.search(r"http://[\d.:]+", line)))
        assert httpx.post(f"{url}/predict", json=row).json()["predictions"][0]["label"] == "lily"
    finally:
        process.terminate()
        process.communicate(timeout=30)


def test_another_object_than_an_application_is_refused_by_name() -> None:
    from slipway.problem import SlipwayError
    from slipway.serving.server import load_application

    for name, message in (
        ("project.nothing:app", "no module project.nothing"),
        ("project.app:nothing", "has no 'nothing'"),
        ("fastapi:FastAPI", "make it with slipway.serving.create_app"),
    ):
        with pytest.raises(SlipwayError, match=message):
            load_application(name)


def test_it_is_an_ordinary_fastapi_application(app: Application) -> None:
    assert isinstance(app, FastAPI)
    with TestClient(app):
        assert isinstance(app.model, LoadedModel)
