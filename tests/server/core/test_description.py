"""Tests of the application's flat list of routes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID, uuid4

import pytest
from fastapi import APIRouter, Depends, FastAPI
from fastapi.routing import APIRoute
from starlette.routing import Route
from starlette.testclient import TestClient

from aiplatform.server.core import description
from aiplatform.server.core.description import DescribedApp, NestedRouterOptions, RouteCache


def test_add_routes_flattens_nested_routers() -> None:
    begun = []

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        begun.append("lifespan")
        yield

    inner = APIRouter(prefix="/inner", lifespan=lifespan)
    outer = APIRouter(tags=["outer"])

    @inner.get("/first")
    def first() -> str:
        return "first"

    @outer.get("/second")
    def second() -> str:
        return "second"

    outer.include_router(inner)
    app = DescribedApp(openapi_url=None, docs_url=None, redoc_url=None)
    app.add_routes(outer)
    assert [type(route) for route in app.routes] == [RouteCache, APIRoute, APIRoute]
    with TestClient(app) as client:
        assert begun == ["lifespan"]
        assert client.get("/inner/first").json() == "first"
        assert client.get("/second").json() == "second"
    operations = [item["get"] for item in app.openapi()["paths"].values()]
    assert {o["operationId"] for o in operations} == {"first", "second"}
    assert [o["tags"] for o in operations] == [["outer"]] * 2
    assert all("HTTPValidationError" not in str(o) for o in operations)


@pytest.mark.parametrize(
    "options", [{"prefix": "/late"}, {"dependencies": [Depends(lambda: None)]}]
)
def test_add_routes_with_options_of_inclusion_is_refused(options: dict[str, object]) -> None:
    """Otherwise a guard that only the inclusion adds would be lost."""
    inner, outer = APIRouter(), APIRouter()
    inner.add_api_route("/", lambda: None)
    outer.include_router(inner, **options)  # type: ignore[arg-type]
    with pytest.raises(NestedRouterOptions):
        DescribedApp().add_routes(outer)


def test_application_has_only_flat_routes(app: FastAPI) -> None:
    others = [route for route in app.routes if not isinstance(route, Route)]
    assert [type(route) for route in others] == [RouteCache], "add routers with add_routes"


class TestShortcut:
    @pytest.fixture
    def app(self) -> DescribedApp:
        router = APIRouter()

        @router.get("/things/first")
        def first() -> str:
            return "first"

        @router.get("/things/{thing}")
        def thing(thing: str) -> str:
            return thing

        @router.put("/things/{thing}")
        def put(thing: str) -> str:
            return f"put {thing}"

        @router.get("/things/{thing}/{path:path}")
        def file(thing: str, path: str) -> str:
            return f"{thing}: {path}"

        app = DescribedApp()
        app.add_routes(router)
        return app

    def test_route_cache_finds_the_same_route_as_the_list(self, app: DescribedApp) -> None:
        """Every request is sent twice, because the second one uses the cache."""
        one, other = str(uuid4()), str(uuid4())
        asked = {
            f"/things/{one}": one,
            f"/things/{other}": other,
            "/things/first": "first",
            "/things/other": "other",
            f"/things/{one}/a/{other}": f"{one}: a/{other}",
            f"/things/{one}/first": f"{one}: first",
            f"/things/{UUID(int=0)}": str(UUID(int=0)),
        }
        with TestClient(app) as client:
            for path, said in [*asked.items(), *reversed(asked.items())]:
                assert client.get(path).json() == said
            assert client.put(f"/things/{one}").json() == f"put {one}"
            assert client.put("/things/first").json() == "put first"
            assert client.get(f"/things/{one}").json() == one
            for _ in range(2):
                assert client.delete(f"/things/{one}").status_code == 405
                assert client.get(f"/nothing/{one}").status_code == 404

    def test_route_cache_ignores_uuids_in_paths(self, app: DescribedApp) -> None:
        with TestClient(app) as client:
            client.get(f"/things/{uuid4()}")
            shortcut = next(route for route in app.routes if isinstance(route, RouteCache))
            shortcut.routes = ()
            name = str(uuid4())
            assert client.get(f"/things/{name}").json() == name

    def test_route_cache_cache_is_bounded(
        self, app: DescribedApp, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(description, "MAX_CACHED_PATHS", 3)
        shortcut = next(route for route in app.routes if isinstance(route, RouteCache))
        with TestClient(app) as client:
            for number in range(10):
                assert client.get(f"/things/{number}").json() == str(number)
                assert len(shortcut.known) <= 3
