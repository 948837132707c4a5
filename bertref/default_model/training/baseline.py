"""What the same reviews give without a network: TF-IDF of words, or of words and pairs, and logistic regression."""

from pathlib import Path

from ...errors import InputError
from .rows import read_rows


def texts_of(path: Path) -> tuple[list[str], list[str]]:
    """Texts and labels of a file of JSON lines."""
    rows = list(read_rows(path))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def baselines(fit: Path, report: Path) -> dict[str, float]:
    """What is counted -> accuracy on `report`. Raises `InputError` without scikit-learn."""
    try:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        raise InputError("the baseline needs scikit-learn: pip install 'bertref[test]'") from None
    (known, labels), (asked, truth) = texts_of(fit), texts_of(report)
    found = {}
    for name, longest in (("words", 1), ("words and pairs", 2)):
        vectors = TfidfVectorizer(ngram_range=(1, longest), min_df=2, sublinear_tf=True)
        model = LogisticRegression(C=10, max_iter=1000).fit(vectors.fit_transform(known), labels)
        found[name] = float(model.score(vectors.transform(asked), truth))
    return found
