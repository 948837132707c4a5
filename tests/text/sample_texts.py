"""Texts that a tokenizer stumbles over: ten scripts, emoji, white space, control and combining characters."""

import random

SCRIPTS = {
    "Latin": "the quick brown fox, naïve café Ünïcödé ﬁne ﬃ Ⅷ don't can't I'm we'll they've 3,000 12.5% $9",
    "Greek": "Ἡ γλῶσσα τῶν Ἑλλήνων ΟΔΥΣΣΕΥΣ καὶ ὁ κύων",
    "Cyrillic": "Все счастливые семьи похожи друг на друга Ёлка й",
    "Hebrew": "בְּרֵאשִׁית בָּרָא אֱלֹהִים את השמים",
    "Arabic": "بِسْمِ ٱللَّهِ السلام عليكم لا إله ١٢٣",
    "Devanagari": "सभी मनुष्य स्वतंत्र पैदा होते हैं क़ ख़ ॐ",
    "Thai": "มนุษย์ทั้งหลายเกิดมามีอิสระ กำ",
    "Hangul": "모든 인간은 태어날 때부터 자유로우며 가나다 ㄱㄴ",
    "Japanese": "すべての人間は、ガガｶﾞ生まれながらにして自由",
    "Chinese": "人人生而自由,在尊嚴和權利上一律平等。𠮷㐀",
}  # fmt: skip
EMOJI = ["🙂", "👩‍👩‍👧", "🇫🇷", "👍🏽", "❤️", "1️⃣"]
SPACES = [" ", "  ", "\t", "\n", "\r\n", "\u00a0", "\u2003", "\u3000", "\u2028", "\u0085", "\x0b", "\u200b"]
OTHERS = [
    "\x00", "\x1f", "\x7f", "\u00ad", "\u200d", "\u200e", "\ufeff", "\ufffd", "\u0301", "\u0308\u0301", "\u0483",
    "\u20dd", "\ue000", "\U000e0001", "\U0010ffff", "``", "''", "▁", "Ġ", "##", "<", "[", "<s", "x" * 40,
]  # fmt: skip
SPECIALS = ["<s>", "</s>", "<mask>", " <mask>", "<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]", "  [MASK] ", "<NEW>"]


def sample_texts(count: int, seed: int = 0) -> list[str]:
    """`count` texts of up to some 15 parts, the same ones for a seed."""
    rng = random.Random(seed)
    words = [(script, words.split()) for script, words in SCRIPTS.items()]

    def part() -> str:
        draw = rng.random()
        if draw < 0.55:
            return rng.choice(rng.choice(words)[1])
        if draw < 0.75:
            return rng.choice(SPACES)
        if draw < 0.83:
            return rng.choice(EMOJI)
        if draw < 0.93:
            return rng.choice(OTHERS)
        if draw < 0.97:
            return rng.choice(SPECIALS)
        return "".join(chr(rng.choice([rng.randrange(32, 0x250), rng.randrange(0x250, 0xD800)])) for _ in range(4))

    texts = [*SCRIPTS.values(), "", " ", "\n\n", "\x00"]
    while len(texts) < count:
        between = rng.choice(["", " "])
        texts.append(between.join(part() for _ in range(rng.randrange(1, 16))))
    return texts[:count]
