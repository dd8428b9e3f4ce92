"""Slipway's application with one pure ASGI middleware of a project's own."""

from slipway.serving import create_app


class Middleware:
    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        async def sending(message):
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], (b"x-own", b"1")]
            await send(message)

        await self.app(scope, receive, sending)


app = create_app()
app.add_middleware(Middleware)
