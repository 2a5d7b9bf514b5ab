"""`lockstep probe`: does a host's API keep the contract that the promise rests on?"""
