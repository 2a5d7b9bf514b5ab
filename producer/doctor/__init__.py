"""What is wrong: with an installation, with the API of a host (`lockstep probe`), with a kind on a host."""
