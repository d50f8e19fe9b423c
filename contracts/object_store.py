"""How an object store fails."""


class ObjectNotFound(Exception):
    """Nothing is stored under this key."""


class ObjectStoreFailed(Exception):
    """The store did not do it, or did not say so; trying again may help."""
