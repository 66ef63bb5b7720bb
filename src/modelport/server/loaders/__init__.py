"""Loaders: from the files of a framework to a model. Each is imported only when it is needed."""
