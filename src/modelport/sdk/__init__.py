"""The SDK: `Client` makes the calls, `wait` follows an operation; errors are those of `modelport.core.errors`."""

from modelport.sdk.client import Client
from modelport.sdk.operations import failure, wait

__all__ = ["Client", "failure", "wait"]
