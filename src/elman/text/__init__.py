"""Text as small unsigned indices: alphabets, corpora and the windows a network reads."""

from elman.text.alphabet import Alphabet as Alphabet
from elman.text.corpus import Corpus as Corpus
from elman.text.folding import fold as fold
from elman.text.folding import opened as opened
from elman.text.folding import refuse_unwieldy as refuse_unwieldy
from elman.text.reading import read_corpus as read_corpus
from elman.text.reading import read_pieces as read_pieces
from elman.text.reading import standard_input as standard_input
from elman.text.windows import Windows as Windows
