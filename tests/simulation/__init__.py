"""The real steps on simulated time: at every call into store, host or clock anything may go wrong.

schedule    one run: what is asked for, what goes wrong, until all is healed and checked
world       simulated time; tasks are greenlets that switch at every call
choices     where every choice of a run comes from: a seed, or a trace to be replayed
faults      the rows of the fault table, and how often each kind of fault is drawn
task        one run of one task, its store and its clock      hosts      nodes and the network before them
broker      messages, chords, redelivery                      shells     what Celery is to a task
things      nodes that hold content, and third hands
people      producers, the beat, whoever cancels              ledger     what must hold, whatever happens
                                                              settled    what a decision settles for good
search      many seeds, counted; a failing trace, shrunk
"""
