"""`python -m clusterplan` is `clusterplan`."""

from .cli import main

if __name__ == "__main__":
    main()
