"""The listener: what stands in one container before a model server and works on what goes in and comes out."""
