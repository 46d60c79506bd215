"""The command line: the only place that prints, prompts or exits. Each module adds its commands to the app."""

from elman.cli import compressing as compressing
from elman.cli import explaining as explaining
from elman.cli import exporting as exporting
from elman.cli import scoring as scoring
from elman.cli import serving as serving
from elman.cli import training as training
from elman.cli import using as using
from elman.cli import watching as watching
from elman.cli.app import app as app
from elman.cli.app import main as main
