"""Whatever guards an application guards /predict, too: each test tries to get past by the direct way."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Security
from fastapi.security import HTTPBearer
from fastapi.testclient import TestClient
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from slipway.serving import Application, Settings, create_app

PATHS = ("/predict", "/explain", "/invocations", "/model")


async def nobody() -> None:
    raise HTTPException(403, "nobody gets in")


class Wall:
    """A pure ASGI middleware that lets nobody in."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            await PlainTextResponse("nobody gets in", 403)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


def dependencies_of_the_application(make: Callable[..., Application]) -> FastAPI:
    return make(dependencies=[Depends(nobody)])


def dependencies_added_to_its_router(make: Callable[..., Application]) -> FastAPI:
    app = make()
    app.router.dependencies.append(Depends(nobody))
    return app


def a_security_scheme(make: Callable[..., Application]) -> FastAPI:
    return make(dependencies=[Security(HTTPBearer())])


def a_router_that_includes_it(make: Callable[..., Application]) -> FastAPI:
    outer = FastAPI()
    outer.include_router(make().router, dependencies=[Depends(nobody)])
    return outer


def a_router_with_dependencies(make: Callable[..., Application]) -> FastAPI:
    outer, router = FastAPI(), APIRouter(dependencies=[Depends(nobody)])
    router.include_router(make().router)
    outer.include_router(router)
    return outer


def a_middleware(make: Callable[..., Application]) -> FastAPI:
    app = make()
    app.add_middleware(Wall)
    return app


def a_middleware_by_option(make: Callable[..., Application]) -> FastAPI:
    return make(middleware=[Middleware(Wall)])


def a_decorated_middleware(make: Callable[..., Application]) -> FastAPI:
    app = make()

    @app.middleware("http")
    async def wall(request: Any, call_next: Any) -> Any:
        return PlainTextResponse("nobody gets in", 403)

    return app


def a_middleware_around_what_it_is_mounted_in(make: Callable[..., Application]) -> FastAPI:
    outer = FastAPI()
    outer.mount("/", make())
    outer.add_middleware(Wall)
    return outer


def a_patched_stack(make: Callable[..., Application]) -> FastAPI:
    """As some packages of instrumentation do it."""
    app = make()
    build = app.build_middleware_stack
    app.build_middleware_stack = lambda: Wall(build())  # type: ignore[method-assign]
    return app


def a_route_before_slipways(make: Callable[..., Application]) -> FastAPI:
    app = make()
    guard = FastAPI(dependencies=[Depends(nobody)])

    @guard.api_route("/{path:path}", methods=["GET", "POST"])
    async def everything() -> None: ...

    app.router.routes.insert(0, guard.routes[-1])
    return app


def a_mount_before_slipways(make: Callable[..., Application]) -> FastAPI:
    app = make()
    app.mount("/", PlainTextResponse("nobody gets in", 403))
    app.router.routes.insert(0, app.router.routes.pop())
    return app


GUARDS = [
    dependencies_of_the_application, dependencies_added_to_its_router, a_security_scheme, a_router_that_includes_it,
    a_router_with_dependencies, a_middleware, a_middleware_by_option, a_decorated_middleware,
    a_middleware_around_what_it_is_mounted_in, a_patched_stack, a_route_before_slipways, a_mount_before_slipways,
]  # fmt: skip


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("guard", GUARDS)
def test_nobody_gets_past(guard: Callable[..., FastAPI], plain: bool, bundle: Path, row: dict[str, Any]) -> None:
    app = guard(lambda **options: create_app(Settings(bundle=bundle), plain=plain, **options))
    refused = 401 if guard is a_security_scheme else 403
    with TestClient(app) as client:
        assert [client.post(path, json=row).status_code for path in PATHS[:2]] == [refused] * 2
        assert client.get("/model").status_code == refused


def test_what_is_added_after_the_start_guards_too(bundle: Path, row: dict[str, Any]) -> None:
    app = create_app(Settings(bundle=bundle))
    with TestClient(app) as client:
        assert client.post("/predict", json=row).status_code == 200
        app.router.dependencies.append(Depends(nobody))
        assert client.post("/predict", json=row).status_code == 403
        app.router.dependencies.clear()
        assert client.post("/predict", json=row).status_code == 200
        with pytest.raises(RuntimeError, match="middleware"):
            app.add_middleware(Wall)
        app.middleware_stack = Wall(app.middleware_stack)
        assert client.post("/predict", json=row).status_code == 403


def test_an_override_of_a_dependency_holds(bundle: Path, row: dict[str, Any]) -> None:
    async def anybody() -> None: ...

    app = create_app(Settings(bundle=bundle), dependencies=[Depends(anybody)])
    with TestClient(app) as client:
        assert client.post("/predict", json=row).status_code == 200
        app.dependency_overrides[anybody] = nobody
        assert client.post("/predict", json=row).status_code == 403


def test_dependencies_of_the_application_guard_its_own_routes_as_slipways(bundle: Path, row: dict[str, Any]) -> None:
    seen: list[str] = []

    async def user(token: Annotated[str | None, Depends(HTTPBearer(auto_error=False))]) -> None:
        seen.append(str(token and token.credentials))  # type: ignore[attr-defined]

    app = create_app(Settings(bundle=bundle), dependencies=[Depends(user)])
    with TestClient(app, headers={"authorization": "Bearer ada"}) as client:
        assert client.post("/predict", json=row).status_code == 200
    assert seen == ["ada"]


def test_a_key_is_asked_for_where_the_router_is_included_elsewhere(
    bundle: Path, tmp_path: Path, row: dict[str, Any]
) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    app = create_app(Settings(bundle=bundle, api_keys_file=keys))
    outer = FastAPI()
    outer.include_router(app.router, prefix="/model")
    with TestClient(outer) as client:
        assert client.post("/model/predict", json=row).status_code == 401
        assert client.post("/model/predict", json=row, headers={"x-api-key": "secret"}).status_code == 200


@pytest.mark.parametrize("plain", [False, True])
def test_a_key_is_asked_for_on_every_route(plain: bool, bundle: Path, tmp_path: Path, row: dict[str, Any]) -> None:
    keys = tmp_path / "keys"
    keys.write_text("secret\n")
    app = create_app(Settings(bundle=bundle, api_keys_file=keys), plain=plain)
    router = APIRouter()

    @app.get("/own")
    @router.get("/routed")
    async def own() -> str:
        return "mine"

    app.include_router(router)
    with TestClient(app) as client:
        for path in ("/own", "/routed", "/model", "/metrics"):
            assert client.get(path).status_code == 401, path
            assert client.get(path, headers={"x-api-key": "secret"}).status_code == 200, path
        assert client.post("/predict", json=row).status_code == 401
        for path in ("/healthz", "/readyz", "/", "/docs", "/page/page.js", "/openapi.json"):
            assert client.get(path).status_code == 200, path
        operation = client.get("/openapi.json").json()["paths"]["/own"]["get"]
        assert operation["security"] == [{"ApiKey": []}]


@pytest.mark.parametrize("way", ["root_path", "mount", "prefix in the path"])
def test_a_prefix_changes_nothing(way: str, bundle: Path, row: dict[str, Any]) -> None:
    app = create_app(Settings(bundle=bundle), root_path="/flowers" if way == "root_path" else "")
    serving: FastAPI = app
    prefix, root_path = "", ""
    if way == "mount":
        serving = FastAPI(lifespan=app.router.lifespan_context)
        serving.mount("/flowers", app)
        prefix = "/flowers"
    if way == "prefix in the path":  # what uvicorn's --root-path makes of a request
        prefix = root_path = "/flowers"
    with TestClient(serving, root_path=root_path) as client:
        assert client.post(f"{prefix}/predict", json=row).status_code == 200
        assert client.get(f"{prefix}/").status_code == 200
        assert client.get(f"{prefix}/openapi.json").json()["servers"] == [{"url": "/flowers"}]
        assert client.get(f"{prefix}/page/page.js").status_code == 200
        for page in ("/", "/docs"):
            text = client.get(prefix + page).text
            assert '"/' not in text  # every address is relative
