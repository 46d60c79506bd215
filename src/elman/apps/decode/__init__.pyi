from elman.apps.decode.ctc import CtcSearch as CtcSearch
from elman.apps.decode.ctc import Hypothesis as Hypothesis
from elman.apps.decode.ctc import decode_ctc as decode_ctc
from elman.apps.decode.language_model import LanguageModel as LanguageModel
from elman.apps.decode.language_model import LmState as LmState
from elman.apps.decode.rescoring import rescore as rescore
