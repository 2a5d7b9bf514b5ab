#!/bin/sh
# Change a thing on every host, or leave each host with what it holds: `./set.sh "We open at ten."`
set -eu
lockstep plan set notice/opening --set text="$1" # what would change, host by host; 1 if it would fail
lockstep set notice/opening --set text="$1" --retries 3
