"""Both gateways, held to one contract."""

import pytest

from modelport.gateway.config import GatewayConfig
from modelport.gateway.fake import FakeGateway
from modelport.gateway.haproxy import HAProxyGateway
from tests.conformance.gateway import SLOTS, GatewayConformance


class TestFakeGateway(GatewayConformance):
    @pytest.fixture
    def gateway(self) -> FakeGateway:
        return FakeGateway(slots=SLOTS)


class TestHAProxyGateway(GatewayConformance):
    @pytest.fixture
    def gateway(self, config: GatewayConfig) -> HAProxyGateway:
        return HAProxyGateway(config)
