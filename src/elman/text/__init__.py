"""Text as small unsigned indices: alphabets, corpora and the windows a network reads."""

from elman.text.alphabet import Alphabet as Alphabet
from elman.text.corpus import Corpus as Corpus
from elman.text.corpus import read_corpus as read_corpus
from elman.text.windows import Windows as Windows
