"""A fingerprint is of everything that predictions depend on."""

import dataclasses
from typing import Any

from elman.inference import Model
from elman.inference.fingerprint import fingerprint
from elman.ngram.counting import count_ngrams
from elman.ngram.model import NgramModel
from elman.text import Alphabet
from support.codec_models import ALPHABET, COUNTED, make_model


def with_ngrams(model: Model, ngrams: NgramModel | None) -> Model:
    return dataclasses.replace(model, parameters=dataclasses.replace(model.parameters, ngrams=ngrams))


def test_models_that_differ_have_different_ones() -> None:
    model = make_model(order=3)
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    text, K = ALPHABET.encode(COUNTED.replace(",", "")), len(ALPHABET)
    counted = [count_ngrams(text, K, 2), count_ngrams(text, K, 3, min_count=1), count_ngrams(text[::-1], K, 3)]
    others = [
        make_model(order=3, seed=1),
        make_model("lstm", order=3),
        make_model(order=3, layers=2),
        make_model(order=3, alphabet=Alphabet(ALPHABET.characters[::-1])),
        make_model(order=3, alphabet=Alphabet(ALPHABET.characters, has_unknown=True)),
        with_ngrams(model, None),
        *(with_ngrams(model, other) for other in counted),
        with_ngrams(model, dataclasses.replace(ngrams, histogram=ngrams.histogram + 1)),
    ]
    assert len({fingerprint(other) for other in [model, *others]}) == len(others) + 1
    assert fingerprint(make_model(order=3)) == fingerprint(model)


def test_it_does_not_depend_on_the_byte_order_of_the_machine() -> None:
    model = make_model(order=3)
    swapped = model.parameters.map(lambda array: array.astype(array.dtype.newbyteorder("S")))
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    arrays: dict[str, Any] = {
        name: array.astype(array.dtype.newbyteorder("S")) for name, array in ngrams.table.arrays().items()
    }
    ngrams = dataclasses.replace(ngrams, table=dataclasses.replace(ngrams.table, **arrays))
    other = with_ngrams(dataclasses.replace(model, parameters=swapped), ngrams)
    assert fingerprint(other) == fingerprint(model)
