"""A fingerprint is of everything that predictions depend on."""

import dataclasses

from elman.inference import Model
from elman.inference.fingerprint import fingerprint
from elman.network.ngram import NgramModel
from elman.text import Alphabet
from support.codec_models import ALPHABET, make_model


def with_ngrams(model: Model, ngrams: NgramModel | None) -> Model:
    return dataclasses.replace(model, parameters=model.parameters.with_ngrams(ngrams))


def test_models_that_differ_have_different_ones() -> None:
    model = make_model(order=3)
    ngrams = model.parameters.ngrams
    assert ngrams is not None
    counts = [{"order": 2}, {"discount": 0.8}, {"text": ngrams.text[::-1]}, {"text": ngrams.text[1:]}]
    others = [
        make_model(order=3, seed=1),
        make_model("lstm", order=3),
        make_model(order=3, layers=2),
        make_model(order=3, alphabet=Alphabet(ALPHABET.characters[::-1])),
        make_model(order=3, alphabet=Alphabet(ALPHABET.characters, has_unknown=True)),
        with_ngrams(model, None),
        *(with_ngrams(model, dataclasses.replace(ngrams, tables={}, **change)) for change in counts),  # type: ignore[arg-type]
    ]
    assert len({fingerprint(other) for other in [model, *others]}) == len(others) + 1
    assert fingerprint(make_model(order=3)) == fingerprint(model)


def test_it_does_not_depend_on_the_byte_order_of_the_machine() -> None:
    model = make_model(order=3)
    swapped = model.parameters.map(lambda array: array.astype(array.dtype.newbyteorder("S")))
    assert model.parameters.ngrams is not None
    ngrams = dataclasses.replace(model.parameters.ngrams, text=model.parameters.ngrams.text.astype(">u2"), tables={})
    other = with_ngrams(dataclasses.replace(model, parameters=swapped), ngrams)
    assert fingerprint(other) == fingerprint(model)
