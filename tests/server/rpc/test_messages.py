"""The messages are those of the protocol: a client library that others generated has the same."""

import pytest
from tritonclient.grpc import service_pb2

from modelport.server.rpc.messages import METHODS, SERVICE, message_types

SERVICES = service_pb2.DESCRIPTOR.services_by_name
TYPES = message_types()


def fields_of(descriptor) -> set[tuple[str, int, int, bool, str]]:
    return {
        (
            one.name,
            one.number,
            one.type,
            one.is_repeated,
            one.message_type.full_name if one.message_type else "",
            one.containing_oneof.name if one.containing_oneof else "",
        )
        for one in descriptor.fields
    }


def theirs(name: str):
    outer, *inner = name.split(".")
    found = service_pb2.DESCRIPTOR.message_types_by_name[outer]
    for one in inner:
        found = found.nested_types_by_name[one]
    return found


@pytest.mark.parametrize("name", TYPES)
def test_a_message_has_the_fields_that_a_client_library_knows(name: str) -> None:
    ours = TYPES[name].DESCRIPTOR
    # Triton's own additions are no part of the protocol.
    known = {field for field in fields_of(theirs(name)) if field[0] in ours.fields_by_name}
    assert fields_of(ours) == known
    assert len(known) == len(ours.fields)
    for entry in ours.nested_types:
        assert entry.GetOptions().map_entry == theirs(f"{name}.{entry.name}").GetOptions().map_entry
        assert fields_of(entry) == fields_of(theirs(f"{name}.{entry.name}"))


def test_the_service_and_its_methods_are_called_as_a_client_calls_them() -> None:
    service = SERVICES[SERVICE.rpartition(".")[2]]
    assert service.full_name == SERVICE
    for method in METHODS:
        theirs = service.methods_by_name[method]
        assert (theirs.input_type.name, theirs.output_type.name) == (f"{method}Request", f"{method}Response")


def test_bytes_that_a_client_library_writes_are_read() -> None:
    sent = service_pb2.ModelInferRequest(model_name="iris", id="7", raw_input_contents=[b"\x01\xff"])
    sent.parameters["round"].int64_param = -3
    tensor = sent.inputs.add(name="x", datatype="INT8", shape=[2, 1])
    tensor.parameters["kind"].string_param = "rows"
    read = TYPES["ModelInferRequest"].FromString(sent.SerializeToString())
    assert read.SerializeToString(deterministic=True) == sent.SerializeToString(deterministic=True)
    assert read.parameters["round"].int64_param == -3
    assert read.inputs[0].parameters["kind"].string_param == "rows"
