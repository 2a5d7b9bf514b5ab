"""What runs where people ask: the client, the `lockstep` command, the demo and the embedded stack."""

if __name__ != "lockstep.producer":
    # One file under two names would be two modules: two locks, two kinds of every error.
    raise ImportError(
        "import lockstep.producer: the folder producer/ is a part of the package lockstep", name=__name__
    )
