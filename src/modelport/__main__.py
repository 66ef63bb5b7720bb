"""`python -m modelport` is the command line."""

from modelport.cli.main import main

main()
