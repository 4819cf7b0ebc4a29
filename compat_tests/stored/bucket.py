"""The bucket by somebody else's library."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeVar

from aiobotocore.session import get_session

from wal_core.testing.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server

T = TypeVar("T")


class Bucket:
    """Objects below a prefix, by their keys without it. A context manager: it keeps its client."""

    def __init__(self, server: S3Server, bucket: str, prefix: str) -> None:
        self.location = f"s3://{bucket}/{prefix}"
        self._server = server
        self._bucket = bucket
        self._prefix = f"{prefix}/"
        self._runner = asyncio.Runner()
        self._open = AsyncExitStack()
        self._client: Any = None

    def sizes(self) -> dict[str, int]:
        """Of all objects."""

        async def collect(client: Any) -> dict[str, int]:
            pages = client.get_paginator("list_objects_v2")
            found: dict[str, int] = {}
            async for page in pages.paginate(Bucket=self._bucket, Prefix=self._prefix):
                for row in page.get("Contents", ()):
                    found[row["Key"].removeprefix(self._prefix)] = row["Size"]
            return found

        return self._run(collect)

    def get(self, key: str) -> bytes:
        """Raises KeyError."""

        async def read(client: Any) -> bytes:
            try:
                found = await client.get_object(Bucket=self._bucket, Key=self._prefix + key)
            except client.exceptions.NoSuchKey:
                raise KeyError(key) from None
            body: bytes = await found["Body"].read()
            return body

        return self._run(read)

    def put(self, key: str, body: bytes) -> None:
        self._run(
            lambda client: client.put_object(Bucket=self._bucket, Key=self._prefix + key, Body=body)
        )

    def delete(self, *keys: str) -> None:
        async def remove(client: Any) -> None:
            for key in keys:
                await client.delete_object(Bucket=self._bucket, Key=self._prefix + key)

        self._run(remove)

    def _run(self, action: Callable[[Any], Awaitable[T]]) -> T:
        async def main() -> T:
            if self._client is None:
                making = get_session().create_client(
                    "s3",
                    endpoint_url=self._server.endpoint,
                    region_name=REGION,
                    aws_access_key_id=ACCESS_KEY,
                    aws_secret_access_key=SECRET_KEY,
                )
                self._client = await self._open.enter_async_context(making)
            return await action(self._client)

        return self._runner.run(main())

    def __enter__(self) -> "Bucket":
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._open.aclose())
        self._runner.close()
