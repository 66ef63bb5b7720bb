"""Steps of stacks at work, and the user's code in them."""
