"""Text as small unsigned indices: alphabets, corpora and the windows a network reads."""

from elman.text.alphabet import Alphabet as Alphabet
from elman.text.corpus import Corpus as Corpus
from elman.text.loading import read_corpus as read_corpus
from elman.text.loading import read_pieces as read_pieces
from elman.text.loading import standard_input as standard_input
from elman.text.unknown import fold as fold
from elman.text.unknown import opened as opened
from elman.text.unknown import refuse_unwieldy as refuse_unwieldy
from elman.text.windows import Windows as Windows
