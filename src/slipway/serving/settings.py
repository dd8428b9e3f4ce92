"""The server's settings: environment variables `SLIPWAY_*`, typed. Unknown names and wrong values are errors."""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator

from slipway.problem import SlipwayError

PREFIX = "SLIPWAY_"
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


class Settings(BaseModel):
    """Each field is the environment variable `SLIPWAY_` and its name in capitals."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    app: Annotated[
        str, Field(pattern=r"^[\w.]+:\w+$", description="the application that is served, as module:attribute")
    ] = "project.app:app"
    bundle: Annotated[Path, Field(description="the folder of the bundle that is served")] = Path("champion/bundle")
    expected: Annotated[
        str | None, Field(pattern="^[0-9a-f]{12,64}$", description="refuse any bundle but this version or digest")
    ] = None
    signature_key: Annotated[
        Path | None, Field(description="refuse any bundle not signed with this key: the public key, a PEM file")
    ] = None
    signer: Annotated[
        str | None, Field(description="refuse any bundle without a keyless signature of this identity")
    ] = None
    signer_issuer: Annotated[str | None, Field(description="the URL of the signer's issuer")] = None
    signer_trust: Annotated[
        Path | None, Field(description="Sigstore's trust root, a file; verification is offline", validate_default=True)
    ] = None
    host: Annotated[str, Field(description="address to listen on; 0.0.0.0 for every interface")] = "127.0.0.1"
    port: Annotated[Port, Field(description="port to listen on; 0 takes a free one")] = 8000
    ops_port: Annotated[Port | None, Field(description="serve probes and metrics on this port only")] = None
    threads: Annotated[Count, Field(description="threads inside one inference")] = 1
    body_bytes: Annotated[Count, Field(description="limit on the size of a request's body")] = 8 << 20
    buffer_bytes: Annotated[Count, Field(description="limit on the size of all bodies in memory")] = 256 << 20
    max_rows: Annotated[Count, Field(description="limit on the rows of one request")] = 10_000
    explain_rows: Annotated[int, Field(ge=0, description="limit on the rows of one request to /explain; 0: none")] = 100
    in_flight: Annotated[Count, Field(description="limit on concurrent requests; more are answered 503")] = 512
    body_seconds: Annotated[Seconds, Field(description="timeout for receiving the headers, and then the body")] = 10
    request_seconds: Annotated[Seconds, Field(description="timeout for answering a request after it was received")] = 30
    keep_alive_seconds: Annotated[Count, Field(description="keep-alive timeout of an idle connection")] = 75
    drain_seconds: Annotated[
        float, Field(ge=0, description="after SIGTERM: how long to serve while not ready, before closing the port")
    ] = 0
    grace_seconds: Annotated[Count, Field(description="after that: timeout for the requests in flight")] = 20
    api_keys_file: Annotated[
        Path | None, Field(description="a file of API keys, one on each line; changes are picked up")
    ] = None
    feedback_key: Annotated[
        SecretStr | None, Field(min_length=16, description="signs prediction ids; must be the same for all replicas")
    ] = None
    feedback_seconds: Annotated[Count, Field(description="how long after a prediction feedback is accepted")] = 604_800
    feedback_kept: Annotated[Count, Field(description="ids of feedback remembered, to refuse duplicates")] = 100_000
    predictions: Annotated[
        str | None,
        Field(description="keep predictions and feedback here: a folder, or a bucket (needs slipway[store])"),
    ] = None
    predictions_seconds: Annotated[Seconds, Field(description="after how long a file of them is written")] = 60
    predictions_bytes: Annotated[Count, Field(description="or at which size, compressed")] = 8 << 20
    predictions_days: Annotated[
        int, Field(ge=0, description="remove older days from the folder; 0 keeps all, and a bucket has its own rules")
    ] = 0
    shadow: Annotated[
        Path | None, Field(description="the folder of a bundle that answers the same rows, after the reply is sent")
    ] = None
    shadow_share: Annotated[float, Field(gt=0, le=1, description="share of one core that the shadow may use")] = 0.25
    cors_origins: Annotated[
        tuple[str, ...], Field(description="origins whose pages may call the service, comma-separated, or *")
    ] = ()
    log_requests: Annotated[bool, Field(description="log one line for each request")] = True
    log_values: Annotated[bool, Field(description="log the bodies of requests, too")] = False
    otlp_endpoint: Annotated[
        str | None, Field(pattern="^https?://", description="OpenTelemetry collector (needs slipway[otel])")
    ] = None

    @field_validator("cors_origins", mode="before")
    @classmethod
    def _origins(cls, given: Any) -> Any:
        origins = [one.strip() for one in given.split(",") if one.strip()] if isinstance(given, str) else given
        if strange := [one for one in origins if one != "*" and not re.fullmatch(r"https?://[^/\s]+", one)]:
            raise ValueError(f"{strange[0]} is not an origin such as https://app.example")
        return tuple(origins)

    @field_validator("signer_trust")
    @classmethod
    def _all_or_none(cls, trust: Path | None, info: ValidationInfo) -> Path | None:
        keyless = [info.data.get("signer"), info.data.get("signer_issuer"), trust]
        if any(keyless) and not all(keyless):
            raise ValueError("SLIPWAY_SIGNER, SLIPWAY_SIGNER_ISSUER and SLIPWAY_SIGNER_TRUST must be set together")
        if any(keyless) and info.data.get("signature_key"):
            raise ValueError("set SLIPWAY_SIGNATURE_KEY or SLIPWAY_SIGNER, not both")
        return trust

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ, **given: Any) -> Settings:
        """Read the settings; those `given` and not None take precedence. Raises SlipwayError naming each error."""
        values: dict[str, Any] = {
            name.removeprefix(PREFIX).lower(): value for name, value in environment.items() if name.startswith(PREFIX)
        }
        try:
            return cls.model_validate(values | {name: value for name, value in given.items() if value is not None})
        except ValidationError as error:
            raise SlipwayError("\n".join(_error(item) for item in error.errors())) from None

    def telemetry(self) -> dict[str, Any]:
        """Give FastAPI's OpenTelemetry the endpoint, if one is set. Raises SlipwayError without the packages."""
        if self.otlp_endpoint is None:
            return {}
        try:
            import opentelemetry.exporter.otlp.proto.http.trace_exporter
            import opentelemetry.sdk.trace  # noqa: F401
        except ModuleNotFoundError as error:
            raise SlipwayError(f"SLIPWAY_OTLP_ENDPOINT needs {error.name}: pip install 'slipway[otel]'") from None
        os.environ.setdefault("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", f"{self.otlp_endpoint.rstrip('/')}/v1/traces")
        os.environ.setdefault("OTEL_SERVICE_NAME", "slipway")
        return {"auto_configure": True, "metrics": False, "logs": False, "operation_spans": False}


def _error(item: Any) -> str:
    name = str(item["loc"][0])
    variable = PREFIX + name.upper()
    if item["type"] != "extra_forbidden":
        shown = "" if name == "feedback_key" else f" (it is {item['input']!r})"
        return f"{variable}: {item['msg']}{shown}"
    close = difflib.get_close_matches(name, Settings.model_fields, n=1)
    known = ", ".join(PREFIX + field.upper() for field in Settings.model_fields)
    return f"{variable}: unknown; " + (f"did you mean {PREFIX}{close[0].upper()}?" if close else f"known: {known}")
