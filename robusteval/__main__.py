"""`python -m robusteval`."""

from robusteval.cli.attended import main

if __name__ == "__main__":
    main()
