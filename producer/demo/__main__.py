"""`python -m lockstep.producer.demo`."""

import sys
from functools import partial

from lockstep.producer.process import begin

main = partial(begin, "lockstep.producer.demo.play")

if __name__ == "__main__":
    sys.exit(main())
