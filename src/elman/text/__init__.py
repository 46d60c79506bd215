"""Text as small unsigned indices: alphabets, corpora, and training windows."""

from elman.text.alphabet import Alphabet as Alphabet
from elman.text.corpus import Corpus as Corpus
from elman.text.corpus import TextFile as TextFile
from elman.text.reading import read_chunks as read_chunks
from elman.text.reading import read_corpus as read_corpus
from elman.text.sources import Source as Source
from elman.text.sources import has_piped_text as has_piped_text
from elman.text.sources import open_standard_input as open_standard_input
from elman.text.unknown import check_alphabet_size as check_alphabet_size
from elman.text.unknown import replace_rare as replace_rare
from elman.text.unknown import with_unknown as with_unknown
from elman.text.windows import Windows as Windows
