"""`python -m clusterplan.launcher.forecast FOLDER...`: keep a forecast of the start in each folder."""

import sys
from pathlib import Path

from .at_submission import keep_forecasts

if __name__ == "__main__":
    keep_forecasts([Path(name) for name in sys.argv[1:]])
