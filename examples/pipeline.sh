#!/bin/sh
# A step of a CI pipeline: create a group everywhere, and go by the exit code.
#
#   GROUP=team-a JOB_ID=4711 ./pipeline.sh
#
# The job's id names the operation: a job that is run again asks for the same one, and does not do it twice.
set -u
lockstep create "$GROUP" --id "job-$JOB_ID" --as pipeline --timeout "${TIMEOUT:-300}"
code=$?
case $code in
  0) echo "$GROUP is on every host" ;;
  1) echo "$GROUP is on no host that did not have it before" >&2 ;;
  3 | 4) echo "not over yet, and it goes on by itself: lockstep watch job-$JOB_ID" >&2 ;;
  5) echo "Redis cannot be reached: run the job again" >&2 ;;
  6) echo "another operation holds $GROUP: run the job again later" >&2 ;;
  *) echo "lockstep ended with $code" >&2 ;; # docs/cli.md has them all
esac
exit "$code"
