"""The Kubernetes API as this operator uses it: get, paged list, watch, patch, create, update.

Plain dicts out, built on `kubernetes.aio`. Every request is counted, every failure is an `ApiError` or
`Unavailable`.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from aiohttp import ClientError
from kubernetes.aio import client, config

from tokenfactory.errors import Forbidden, TokenFactoryError, Unavailable

CONNECTIONS = 8
"""Two of them hold watches. One keeps 80 KiB of TLS buffers, 320 KiB once it read long answers."""

REQUEST_SECONDS = 30
WATCH_SECONDS = 290
SILENCE_SECONDS = 90
TRANSPORT_ERRORS = (TimeoutError, OSError, ClientError)
_SEGMENT = re.compile(r"[A-Za-z0-9](?:[-A-Za-z0-9.:]*[A-Za-z0-9])?")
JSON_PATCH = "application/json-patch+json"


class ApiError(TokenFactoryError):
    """The API server answered with an error that retrying as it is won't mend. `reason` is its own word."""

    def __init__(self, status: int, reason: str, *, is_status_object: bool) -> None:
        super().__init__(f"HTTP {status} {reason}")
        self.status = status
        self.reason = reason
        self.is_status_object = is_status_object


class Expired(TokenFactoryError):
    """410 Gone: the resource version is too old, list again."""


class RequestCounter(Protocol):
    def count_request(self, verb: str, resource: str, code: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Collection:
    """One resource type, cluster-wide or in a namespace: `/api/v1` + `pods`."""

    prefix: str
    resource: str
    namespace: str = ""

    def path(self, name: str = "", subresource: str = "") -> str:
        """The URL's path. Raises ValueError for a name that would lead to another object than its own."""
        parts = ["namespaces", self.namespace] if self.namespace else []
        parts += [part for part in (self.resource, name, subresource) if part]
        if not all(map(_SEGMENT.fullmatch, parts)):
            raise ValueError("a name that can't be part of a path")
        return "/".join((self.prefix, *parts))


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """How the API server is reached: URL, CA file, and a token or a client certificate's files."""

    server: str
    ca_path: str | None
    token: str | None
    certificate_path: str | None
    private_key_path: str | None


async def connect(kubeconfig: str, context: str) -> client.ApiClient:
    """A client from `kubeconfig` (or KUBECONFIG), else from the pod's ServiceAccount.

    Raises Unavailable when neither is there.
    """
    configuration = client.Configuration()
    try:
        if kubeconfig or not _in_cluster():
            await config.load_kube_config(
                config_file=kubeconfig or None,
                context=context or None,
                client_configuration=configuration,
                persist_config=False,
            )
        else:
            config.load_incluster_config(client_configuration=configuration)
    except config.ConfigException as error:
        raise Unavailable(f"no kubeconfig and no ServiceAccount to connect with: {error}") from error
    configuration.connection_pool_maxsize = CONNECTIONS
    api = client.ApiClient(configuration)
    api.user_agent = "tokenfactory-operator"
    return api


def _in_cluster() -> bool:
    return Path(config.incluster_config.SERVICE_TOKEN_FILENAME).exists()


class Kube:
    """Typed access to the API server over one connection pool."""

    def __init__(self, api: client.ApiClient, counter: RequestCounter) -> None:
        self._api = api
        self._counter = counter

    async def credentials(self) -> Credentials:
        """What this client connects with, the token as fresh as the pod's file."""
        configuration = self._api.configuration
        token = await configuration.get_api_key_with_prefix("BearerToken", alias="authorization")
        return Credentials(
            server=self.server,
            ca_path=configuration.ssl_ca_cert,
            token=token.removeprefix("Bearer ").removeprefix("bearer ") if token else None,
            certificate_path=configuration.cert_file,
            private_key_path=configuration.key_file,
        )

    @property
    def server(self) -> str:
        """The API server's URL."""
        return str(self._api.configuration.host)

    async def close(self) -> None:
        await self._api.close()

    async def get(self, where: Collection, name: str) -> dict[str, Any]:
        return await self._json("GET", "get", where, where.path(name))

    async def discover(self, path: str) -> dict[str, Any]:
        """A discovery document, such as `/apis/tokenfactory.dev/v1alpha1`."""
        return await self._json("GET", "get", Collection(path, "discovery"), path)

    async def page(
        self, where: Collection, *, limit: int, token: str = "", parameters: Mapping[str, str]
    ) -> dict[str, Any]:
        """One page of a list. Raises Expired when the continue token is too old."""
        query = [("limit", str(limit)), *parameters.items()]
        if token:
            query.append(("continue", token))
        return await self._json("GET", "list", where, where.path(), query=query)

    async def patch_status(
        self, where: Collection, name: str, operations: list[dict[str, Any]]
    ) -> dict[str, Any]:
        """Applies a JSON patch to the status subresource; a failed `test` is an ApiError 422."""
        return await self._json(
            "PATCH", "patch", where, where.path(name, "status"), body=operations, content=JSON_PATCH
        )

    async def create(self, where: Collection, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._json("POST", "create", where, where.path(), body=dict(body))

    async def update(self, where: Collection, name: str, body: Mapping[str, Any]) -> dict[str, Any]:
        return await self._json("PUT", "update", where, where.path(name), body=dict(body))

    async def watch(
        self, where: Collection, *, version: str, parameters: Mapping[str, str]
    ) -> AsyncIterator[tuple[str, dict[str, Any]]]:
        """Events (type, object) after `version`, bookmarks included, until the server ends the stream.

        Raises Expired on 410, Unavailable on a broken stream.
        """
        query = [
            ("watch", "true"),
            ("allowWatchBookmarks", "true"),
            ("resourceVersion", version),
            ("timeoutSeconds", str(WATCH_SECONDS)),
            *parameters.items(),
        ]
        response = await self._send(
            "GET", "watch", where, where.path(), query=query, seconds=WATCH_SECONDS + 30
        )
        try:
            async with aclosing(_lines(response)) as lines:
                async for line in lines:
                    event = json.loads(line)
                    if event.get("type") == "ERROR":
                        code = event.get("object", {}).get("code")
                        if code == 410:
                            raise Expired("the watch is too old")
                        raise Unavailable(f"the watch ended with an error, code {code}")
                    yield event["type"], event["object"]
        except TimeoutError:
            return
        except (*TRANSPORT_ERRORS, ValueError, KeyError) as error:
            raise Unavailable(f"the watch broke: {type(error).__name__}") from error
        finally:
            response.close()

    async def _json(
        self,
        method: str,
        verb: str,
        where: Collection,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Any = None,
        content: str = "application/json",
    ) -> dict[str, Any]:
        response = await self._send(
            method, verb, where, path, query=query, body=body, content=content, seconds=REQUEST_SECONDS
        )
        try:
            document = json.loads(await response.read())
        except (*TRANSPORT_ERRORS, ValueError) as error:
            raise Unavailable(f"{verb} {where.resource}: the answer broke off") from error
        finally:
            response.release()
        return dict(document)

    async def _send(
        self,
        method: str,
        verb: str,
        where: Collection,
        path: str,
        *,
        query: list[tuple[str, str]] | None = None,
        body: Any = None,
        content: str = "application/json",
        seconds: float,
    ) -> Any:
        try:
            request = await self._api.param_serialize(
                method,
                path,
                query_params=query or [],
                header_params={"Accept": "application/json", "Content-Type": content},
                body=body,
                auth_settings=["BearerToken"],
            )
            answer = await self._api.call_api(*request, _request_timeout=seconds)
        except client.ApiException as error:
            self._counter.count_request(verb, where.resource, str(error.status or "error"))
            raise Unavailable(f"{verb} {where.resource}: {error.reason}") from error
        except TRANSPORT_ERRORS as error:
            self._counter.count_request(verb, where.resource, "error")
            raise Unavailable(f"{verb} {where.resource}: {type(error).__name__}") from error
        self._counter.count_request(verb, where.resource, str(answer.status))
        if answer.status >= 400:
            await _refuse(answer, f"{verb} {where.resource}")
        return answer.response


async def _refuse(answer: Any, what: str) -> None:
    """Raises what an error answer means for the caller."""
    text = (await answer.read())[:65536]
    try:
        document = json.loads(text)
    except ValueError:
        document = {}
    status = int(answer.status)
    reason = str(document.get("reason") or answer.reason or "")
    if status == 410:
        raise Expired(what)
    if status == 403:
        raise Forbidden(f"{what}: {status} {reason}")
    if status in {401, 429} or status >= 500:
        after = str(answer.headers.get("Retry-After", ""))
        raise Unavailable(
            f"{what}: {status} {reason}", retry_after_seconds=float(after) if after.isdigit() else None
        )
    raise ApiError(status, reason, is_status_object=document.get("kind") == "Status")


async def _lines(response: Any) -> AsyncGenerator[bytes, None]:
    """Lines of a streamed answer until it ends, or until even bookmarks stay away.

    A quiet collection may have none for long (etcd tells of its progress when it likes), so silence is
    an end and no failure: the next watch finds out whether the server is there.
    """
    buffer = b""
    while True:
        try:
            async with asyncio.timeout(SILENCE_SECONDS):
                chunk = await response.content.readany()
        except TimeoutError:
            return
        if not chunk:
            return
        *lines, buffer = (buffer + chunk).split(b"\n")
        for line in lines:
            if line:
                yield line
