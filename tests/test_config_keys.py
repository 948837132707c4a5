"""Keys beside the architecture: the four kinds, and what is said of each."""

from typing import Any

import pytest
import transformers

from bertref.config import BertConfig, config_from_dict, config_notes, live_config_from_dict, live_config_notes
from bertref.config_keys import GENERATION, HARMLESS, UNSUPPORTED_UNLESS, USUAL, other_keys
from bertref.errors import InputError
from bertref.variants import VARIANTS, Variant


def test_no_key_is_of_two_kinds() -> None:
    assert not HARMLESS & USUAL
    assert not (HARMLESS | USUAL) & set(UNSUPPORTED_UNLESS)
    assert not (HARMLESS | USUAL) & set(BertConfig.__dataclass_fields__)


def test_every_setting_of_generation_is_known() -> None:
    assert set(transformers.GenerationConfig._get_default_generation_params()) <= GENERATION | USUAL


@pytest.mark.parametrize("variant", VARIANTS.values(), ids=lambda variant: str(variant.title))
def test_what_transformers_writes_is_not_worth_a_word(variant: Variant) -> None:
    written = getattr(transformers, f"{variant.classes}Config")().to_dict()
    assert config_notes(written) == ()
    assert live_config_notes(written) == ()


def test_the_four_kinds() -> None:
    found = other_keys(
        {"hidden_size": 8, "use_cache": True, "top_k": 5, "x": None, "y": 1, "is_decoder": True}, {"hidden_size"}
    )
    assert found.harmless == ("top_k", "x")
    assert found.unknown == ("y",)
    assert found.unsupported == ("is_decoder = True is not supported; only False is",)
    assert found.notes("c") == ("c: the keys top_k, x do not change an encoder's numbers",)
    (doubt,) = found.doubts("c")
    assert doubt.startswith("c: the unknown key y; is_decoder = True is not supported; only False is; the verdict")


@pytest.mark.parametrize("values", [{"model_type": "electra"}, {"position_embedding_type": "relative_key"}, {"y": 1}])
def test_a_live_config_opens(values: dict[str, Any]) -> None:
    assert live_config_from_dict({"hidden_size": 24, **values})[0].hidden_size == 24
    assert next(iter(values)) in live_config_notes(values)[0]


def test_a_live_config_must_make_sense() -> None:
    with pytest.raises(InputError, match="hidden_act 'silu'"):
        live_config_from_dict({"hidden_act": "silu"})


def test_no_padding_row_is_the_first() -> None:
    """transformers' pad_token_id None: no row of the table is kept at 0. Padding is masked either way."""
    assert config_from_dict({"pad_token_id": None})[0].pad_token_id == 0
