"""Start the run in RUN_FOLDER on this machine:

python -P -m clusterplan.launcher.node RUN_FOLDER
"""

import sys
from pathlib import Path

from ..submission.executor.local import start_local_run
from .training_job import TrainingJob

if __name__ == "__main__":
    start_local_run(Path(sys.argv[1]), TrainingJob)
