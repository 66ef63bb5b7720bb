"""What runs inside a model container: loads a model and answers the container contract and Open Inference Protocol."""
