"""A language model of BciPy that is a model of Elman, with or without a network; neither Elman nor KenLM is needed.

elman export RUN model.py            where Elman is installed; model.py then lies beside this program
python examples/bcipy_model.py       the characters that may follow a text

Register it in BciPy: `bcipy.helpers.language_model.register_language_model("ELMAN", ElmanLanguageModel)`.
"""

import math

from model import model


class ElmanLanguageModel:
    """A language model whose symbols are A to Z, _ for the space and < for backspace."""

    def set_symbol_set(self, symbol_set):
        self.symbol_set = symbol_set

    def predict_character(self, evidence):
        text = "".join(evidence).replace("_", " ").lower()
        _, log_p = model.read("".join(character for character in text if character in model.index))
        p = {"_" if c == " " else c.upper(): math.exp(log_p[0, k]) for c, k in model.index.items()}
        p = {symbol: p.get(symbol, 0.0) for symbol in self.symbol_set}
        total = sum(p.values())
        return sorted(((symbol, q / total) for symbol, q in p.items()), key=lambda pair: pair[1], reverse=True)


if __name__ == "__main__":
    language_model = ElmanLanguageModel()
    language_model.set_symbol_set([*"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "<", "_"])
    print(language_model.predict_character("AND_ALL_OF_THE"))
