"""``python -m flexlock_hydra``."""

from flexlock_hydra.cli.main import main

if __name__ == "__main__":
    main("python -m flexlock_hydra")
