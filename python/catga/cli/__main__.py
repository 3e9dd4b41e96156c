"""`python -m catga.cli`."""

from catga.cli import main

if __name__ == "__main__":
    main()
