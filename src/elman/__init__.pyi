__version__: str

from elman.apps.compress.codec import compress as compress
from elman.apps.compress.codec import decompress as decompress
from elman.apps.decode.ctc import CtcSearch as CtcSearch
from elman.apps.decode.ctc import decode_ctc as decode_ctc
from elman.apps.decode.kraken import kraken_decoder as kraken_decoder
from elman.apps.decode.rescoring import rescore as rescore
from elman.apps.ensemble.ensemble import ensemble as ensemble
from elman.apps.explain.page import explain as explain
from elman.apps.parallel import LineScorer as LineScorer
from elman.apps.sweep.sweep import sweep as sweep
from elman.config import Config as Config
from elman.errors import ElmanError as ElmanError
from elman.formats import export as export
from elman.formats import import_ as import_
from elman.model.loading import load as load
from elman.model.model import Model as Model
from elman.model.score import Score as Score
from elman.runs.history import Sample as Sample
from elman.testing.gradcheck import gradcheck as gradcheck
from elman.text.corpus import Corpus as Corpus
from elman.training.api import train as train
from elman.training.callbacks import TrainingCallback as TrainingCallback
from elman.training.run import Run as Run
from elman.training.saved_runs import SavedRun as SavedRun
from elman.training.saved_runs import list_runs as list_runs
from elman.training.saved_runs import open_run as open_run
