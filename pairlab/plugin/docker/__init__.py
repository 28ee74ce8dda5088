"""The embedded `docker` plugin: one module a resource, on docker-py."""
