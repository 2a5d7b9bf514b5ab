"""`python -m lockstep.producer.stack`: keep a stack running in the foreground, until Ctrl-C."""

import sys
from functools import partial

from lockstep.producer.process import begin

main = partial(begin, "lockstep.producer.stack.command")

if __name__ == "__main__":
    sys.exit(main())
