"""A language model of BciPy that is a model of Elman, with or without a network; KenLM is not needed.

python examples/bcipy_model.py       the characters that may follow a text, by the model in runs/messages

Register it in BciPy: `bcipy.helpers.language_model.register_language_model("ELMAN", ElmanLanguageModel)`.
"""

import elman


class ElmanLanguageModel:
    """A language model whose symbols are A to Z, _ for the space and < for backspace."""

    def __init__(self, lm_path="runs/messages"):
        self.model = elman.load(lm_path)

    def set_symbol_set(self, symbol_set):
        self.symbol_set = symbol_set

    def predict_character(self, evidence):
        p = self.model.next_char("".join(evidence).replace("_", " ").lower())
        p = {symbol: p.get(" " if symbol == "_" else symbol.lower(), 0.0) for symbol in self.symbol_set} | {"<": 0.0}
        total = sum(p.values())
        return sorted(((symbol, q / total) for symbol, q in p.items()), key=lambda pair: pair[1], reverse=True)


if __name__ == "__main__":
    model = ElmanLanguageModel()
    model.set_symbol_set([*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "<", "_"])
    print(model.predict_character("AND_ALL_OF_THE"))
