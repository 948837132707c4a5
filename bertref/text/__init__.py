"""Text to ids: the vocabulary, the readable tokenizer, the fast one, and learning a vocabulary.

Nothing here imports the `tokenizers` library before it is needed.
"""

from .added import AddedToken
from .basic import BasicTokenizer
from .case import check_case, lower_case_of, validate_case_matches_checkpoint
from .declared import LIBRARY
from .encoding import Encoding
from .families import kind_of
from .full import FullTokenizer
from .offsets import Piece
from .tokenizer import Tokenizer
from .trainers import train_tokenizer
from .training import train_vocab
from .vocab import SPECIAL_TOKENS, Vocab, load_vocab
from .wordpiece import WordpieceTokenizer

__all__ = [
    "LIBRARY",
    "SPECIAL_TOKENS",
    "AddedToken",
    "BasicTokenizer",
    "Encoding",
    "FullTokenizer",
    "Piece",
    "Tokenizer",
    "Vocab",
    "WordpieceTokenizer",
    "check_case",
    "kind_of",
    "load_vocab",
    "lower_case_of",
    "train_tokenizer",
    "train_vocab",
    "validate_case_matches_checkpoint",
]
