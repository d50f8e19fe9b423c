"""`python -m stack` is the `followthrough` command; `up` starts its own processes this way."""

from stack.cli import main

main()
