"""The Open Inference Protocol over gRPC, beside REST and on the same model."""
