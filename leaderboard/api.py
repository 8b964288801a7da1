"""The routes of the JSON API: read only, for all origins, and not sent twice while the index is the same."""

from __future__ import annotations

import json
from collections.abc import Callable

import shell
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Route

from clir_bench.errors import ClirBenchError
from clir_bench.site import api
from clir_bench.standings.index import Index

_METHODS = ["GET", "OPTIONS"]
_OPEN = {"access-control-allow-origin": "*", "access-control-expose-headers": "ETag", "cache-control": "no-cache"}
_PREFLIGHT = {**_OPEN, "access-control-allow-methods": "GET, HEAD", "access-control-allow-headers": "If-None-Match", "access-control-max-age": "86400"}


def routes() -> list[Route]:
    """Every address below ``api.PREFIX``; unknown ones say so as JSON."""
    answers = [Route(address, _endpoint(answer), methods=_METHODS) for address, answer in api.ANSWERS.items()]
    files = [Route(f"{api.PREFIX}/files/{name}.parquet", _endpoint_of_file(name), methods=_METHODS) for name in api.FILES]
    return [*answers, *files, Route(f"{api.PREFIX}/{{rest:path}}", _unknown, methods=_METHODS)]


def _endpoint(answer: Callable[[Index, api.Given], dict[str, object]]) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_respond, request, lambda index: _json(answer(index, _given(request))))

    return endpoint


def _endpoint_of_file(name: str) -> Callable[[Request], object]:
    async def endpoint(request: Request) -> Response:
        return await run_in_threadpool(_respond, request, lambda index: _file(index, name))

    return endpoint


async def _unknown(request: Request) -> Response:
    return _json({"errors": [f"there is no {request.url.path}. {api.PREFIX} lists the addresses"]}, 404)


def _respond(request: Request, make: Callable[[Index], Response]) -> Response:
    """The answer of ``make``, unless the asker has it already."""
    if request.method == "OPTIONS":
        return Response(status_code=204, headers=_PREFLIGHT)
    try:
        index = shell.index()
        tag = f'"{index.path.name}"'
        known = [each.strip().removeprefix("W/") for each in request.headers.get("if-none-match", "").split(",")]
        response = Response(status_code=304, headers=_OPEN) if tag in known else make(index)
    except api.NotThere as error:
        return _json({"errors": api.problems_of(error)}, 404)
    except ClirBenchError as error:
        return _json({"errors": api.problems_of(error)}, 400)
    response.headers["etag"] = tag
    return response


def _given(request: Request) -> dict[str, str]:
    """The parameters; one that stands several times is a list, as ``a,b`` is."""
    named = {key: ",".join(request.query_params.getlist(key)) for key in request.query_params}
    return named | {key: str(value) for key, value in request.path_params.items()}


def _json(content: dict[str, object], status: int = 200) -> Response:
    return Response(json.dumps(content, ensure_ascii=False, allow_nan=False), status, _OPEN, "application/json")


def _file(index: Index, name: str) -> Response:
    return FileResponse(index.path / f"{name}.parquet", headers=_OPEN, media_type="application/vnd.apache.parquet", filename=f"clir-bench-{name}.parquet")
