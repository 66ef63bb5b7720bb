"""Both gateways, held to one contract."""

from datetime import UTC, datetime

import httpx
import pytest

from modelport.gateway.base import Gateway, RequestError
from modelport.gateway.config import GatewayConfig
from modelport.gateway.fake import FakeGateway
from modelport.gateway.haproxy import HAProxyGateway
from tests.conformance.gateway import SLOTS, GatewayConformance, version


class TestFakeGateway(GatewayConformance):
    @pytest.fixture
    def gateway(self) -> FakeGateway:
        return FakeGateway(slots=SLOTS)

    async def fail(self, gateway: Gateway, request_id: str) -> None:
        assert isinstance(gateway, FakeGateway)
        name = version("v3")
        gateway.fail(
            RequestError(datetime.now(UTC), request_id, 503, "NO_HEALTHY_REPLICA", name, "POST", f"/v1/{name}:predict")
        )


class TestHAProxyGateway(GatewayConformance):
    @pytest.fixture
    def gateway(self, config: GatewayConfig) -> HAProxyGateway:
        self.url = f"http://{config.listen}"
        return HAProxyGateway(config)

    async def fail(self, gateway: Gateway, request_id: str) -> None:
        async with httpx.AsyncClient(base_url=self.url) as client:
            await client.post(f"/v1/{version('v3')}:predict", headers={"x-request-id": request_id})
