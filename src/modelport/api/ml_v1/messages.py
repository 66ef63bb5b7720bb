"""The messages of ml.v1 as they stand on the wire, in requests and responses; names and types only, no rules."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema
from pydantic.alias_generators import to_camel
from pydantic_core import PydanticCustomError


def _no_nul(value: str) -> str:
    if "\0" in value:
        raise PydanticCustomError("nul", "It has a NUL character; text has none.")
    return value


def _integer(bits: int) -> BeforeValidator:
    """Read an integer as proto JSON allows it: a number, a whole float, or decimal digits in a string."""
    limit = 2 ** (bits - 1)

    def read(value: object) -> object:
        is_text = isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,20}", value)
        is_whole = isinstance(value, float) and value.is_integer()
        number = int(value) if is_text or is_whole else value  # type: ignore[call-overload]
        if isinstance(number, int) and not isinstance(number, bool) and not -limit <= number < limit:
            raise PydanticCustomError("range", f"It does not fit into {bits} bits.")
        return number

    return BeforeValidator(read)


Text = Annotated[str, AfterValidator(_no_nul)]
Int32 = Annotated[int, _integer(32), WithJsonSchema({"type": "integer", "format": "int32"})]
Int64 = Annotated[
    int, _integer(64), PlainSerializer(str, return_type=str), WithJsonSchema({"type": "string", "format": "int64"})
]
Timestamp = Annotated[str, AfterValidator(_no_nul), WithJsonSchema({"type": "string", "format": "google-datetime"})]
Bytes = Annotated[str, AfterValidator(_no_nul), WithJsonSchema({"type": "string", "format": "byte"})]


class Message(BaseModel):
    """A message: camelCase on the wire. `package` is the prefix of its name in discovery documents."""

    model_config = ConfigDict(alias_generator=to_camel, populate_by_name=True, extra="forbid", strict=True)
    package: ClassVar[str] = "GoogleCloudMlV1"


class EnvVar(Message):
    """An environment variable of the container; the value may hold references such as `$(NAME)`."""

    name: Text | None = None
    value: Text | None = None


class ContainerPort(Message):
    """A port that the container listens on."""

    container_port: Int32 | None = None


class ContainerSpec(Message):
    """How to start the container that serves the model."""

    image: Text | None = None
    command: list[Text] | None = None
    args: list[Text] | None = None
    env: list[EnvVar] | None = None
    ports: list[ContainerPort] | None = None


class RouteMap(Message):
    """The paths on which the container answers predictions and health checks."""

    predict: Text | None = None
    health: Text | None = None


class AcceleratorConfig(Message):
    """The GPUs of each node."""

    count: Int64 | None = None
    type: Text | None = None


class MetricSpec(Message):
    """A metric to scale by."""

    name: Text | None = None
    target: Int32 | None = None


class AutoScaling(Message):
    """Bounds for the number of nodes."""

    min_nodes: Int32 | None = None
    max_nodes: Int32 | None = None
    metrics: list[MetricSpec] | None = None


class ManualScaling(Message):
    """A fixed number of nodes."""

    nodes: Int32 | None = None


class Version(Message):
    """A version of a model: a container that serves it, and the state that it is in."""

    name: Text | None = None
    description: Text | None = None
    is_default: bool | None = None
    deployment_uri: Text | None = None
    container: ContainerSpec | None = None
    routes: RouteMap | None = None
    machine_type: Text | None = None
    accelerator_config: AcceleratorConfig | None = None
    auto_scaling: AutoScaling | None = None
    manual_scaling: ManualScaling | None = None
    labels: dict[str, Text] | None = None
    state: Text | None = None
    error_message: Text | None = None
    create_time: Timestamp | None = None
    last_use_time: Timestamp | None = None
    last_migration_time: Timestamp | None = None
    last_migration_model_id: Text | None = None
    etag: Bytes | None = None
    runtime_version: Text | None = None
    framework: Text | None = None
    python_version: Text | None = None
    package_uris: list[Text] | None = None
    prediction_class: Text | None = None
    service_account: Text | None = None
    explanation_config: dict[str, Any] | None = None
    request_logging_config: dict[str, Any] | None = None


class Model(Message):
    """A model: a name under which versions are gathered, one of which answers by default."""

    name: Text | None = None
    description: Text | None = None
    default_version: Version | None = None
    regions: list[Text] | None = None
    online_prediction_logging: bool | None = None
    online_prediction_console_logging: bool | None = None
    labels: dict[str, Text] | None = None
    etag: Bytes | None = None


class ListModelsResponse(Message):
    """A page of models; empty when there are none."""

    models: list[Model] | None = None
    next_page_token: str | None = None


class ListVersionsResponse(Message):
    """A page of versions; empty when there are none."""

    versions: list[Version] | None = None
    next_page_token: str | None = None


class SetDefaultVersionRequest(Message):
    """Nothing: the name in the path says it all."""


class OperationMetadata(Message):
    """What an operation is about and how far it has come; `warnings`, an extension, is what looks wrong so far."""

    type: str = Field(default="type.googleapis.com/google.cloud.ml.v1.OperationMetadata", alias="@type")
    create_time: Timestamp | None = None
    start_time: Timestamp | None = None
    end_time: Timestamp | None = None
    is_cancellation_requested: bool | None = None
    operation_type: str | None = None
    model_name: str | None = None
    version: Version | None = None
    project_number: Int64 | None = None
    labels: dict[str, str] | None = None
    warnings: list[str] | None = None


class RpcStatus(Message):
    """Why an operation failed: a `google.rpc.Code`, a text for people, details for programs."""

    package = "GoogleRpc"
    code: Int32 | None = None
    message: str | None = None
    details: list[dict[str, Any]] | None = None


class Operation(Message):
    """A change under way. `done` is absent while it runs; then there is either `error` or `response`."""

    package = "GoogleLongrunning"
    name: str | None = None
    metadata: OperationMetadata | None = None
    done: bool | None = None
    error: RpcStatus | None = None
    response: dict[str, Any] | None = None


class ListOperationsResponse(Message):
    """A page of operations; empty when there are none."""

    package = "GoogleLongrunning"
    operations: list[Operation] | None = None
    next_page_token: str | None = None


class Empty(Message):
    """Nothing."""

    package = "GoogleProtobuf"


class Config(Message):
    """Accounts of the original service that have no counterpart here."""

    tpu_service_account: str | None = None


class GetConfigResponse(Message):
    """The account that a project's versions would act as, made of the project number."""

    service_account: str | None = None
    service_account_project: Int64 | None = None
    config: Config | None = None


class ListLocationsResponse(Message):
    """Always empty: everything runs where modelport runs."""

    next_page_token: str | None = None


class HttpBody(Message):
    """Any body, passed on as it is."""

    package = "GoogleApi"
    content_type: str | None = None
    data: Bytes | None = None
    extensions: list[dict[str, Any]] | None = None


class PredictRequest(Message):
    """Any body that the container understands, usually `{"instances": [...]}`."""

    http_body: HttpBody | None = None
